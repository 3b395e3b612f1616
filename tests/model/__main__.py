"""
Check the protocol of the drain's record exhaustively: `make model` (about four minutes).

    --deep              larger bounds too: an hour, several GB
    --only NAME         one configuration
    --without RULE      the protocol without one of its rules, and the shortest way to the harm
    --rules             each rule taken away in turn
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tests.model.configurations import CONFIGURATIONS, DEEP, VARIANTS

if TYPE_CHECKING:
    from tests.model.explore import Verdict


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def told(name: str, verdict: Verdict, began: float) -> str:
    bounds = f"answered within {verdict.answered}, two messages for {verdict.forked} ticks"
    seconds = time.monotonic() - began
    return f"{name:20} {verdict.states:9,} states  {verdict.broken or bounds}  [{seconds:.0f} s]"


def without(names: list[str], *, traces: bool) -> bool:
    """Take rules away; return whether each shows the harm that it should."""
    shown = True
    for name in names:
        variant, began = VARIANTS[name], time.monotonic()
        verdict = variant.check(name)
        breaks = verdict.broken.startswith(variant.breaks)
        shown = shown and breaks
        say(told(name, verdict, began))
        say(f"    without: {variant.rule}" + ("" if breaks else f"  NOT SEEN: {variant.breaks}"))
        say("".join(f"      {step}\n" for step in verdict.trace) if traces else "")
    return shown


def whole(names: list[str]) -> bool:
    """Check the whole protocol; return whether every property holds."""
    states, failed = 0, []
    for name in names:
        began = time.monotonic()
        verdict = (CONFIGURATIONS | DEEP)[name].check()
        states += verdict.states
        say(told(name, verdict, began))
        if verdict.broken:
            failed.append(name)
            say("".join(f"      {step}\n" for step in verdict.trace))
    every = "every property holds within these bounds"
    say(f"{states:,} states; " + (f"FAILED: {', '.join(failed)}" if failed else every))
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--only", choices=[*CONFIGURATIONS, *DEEP])
    parser.add_argument("--without", choices=list(VARIANTS))
    asked = parser.parse_args()
    if asked.without:
        return int(not without([asked.without], traces=True))
    if asked.rules:
        return int(not without(list(VARIANTS), traces=False))
    every = [*CONFIGURATIONS, *(DEEP if asked.deep else ())]
    return int(not whole([asked.only] if asked.only else every))


if __name__ == "__main__":
    sys.exit(main())
