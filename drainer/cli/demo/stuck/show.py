"""
Shows a stuck drain: its explanation at once, or an account that is kept for commands to read.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from drainer import clock
from drainer.cli.account.screen import counted
from drainer.cli.demo.stuck.planted import CLUSTER, HERE, STACK
from drainer.cli.demo.stuck.planted_aws import REGION
from drainer.cli.demo.stuck.server import PlantedServer
from drainer.cli.explain.reader import explainable
from drainer.cli.explain.reads import Reads
from drainer.cli.explain.screen import as_json, lines
from drainer.cli.explain.show import explained

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.demo.stuck.choice import Choice
    from drainer.cli.demo.stuck.planted_aws import PlantedAws
    from drainer.cli.demo.voice import Voice

# How long the drain has been going on when the demo begins, of the two hours to its deadline.
AGO = timedelta(minutes=48)
# What counts down, as a deregistration delay does, would be over; it begins again after this.
AGAIN = timedelta(seconds=30)


def explain_once(choice: Choice, voice: Voice) -> list[str]:
    """Print the explanation of the planted drain; return what was wrong."""
    now = clock.now()
    account = choice.account(now)
    facts = explainable(Reads(account.aws.client), HERE, CLUSTER, STACK, now)
    one = explained(facts)
    if voice.as_json:
        print(json.dumps(as_json(one)))
    else:
        _planted(choice, voice)
        voice.say("KEEP=1 (--keep) leaves this account running for commands to read.\n")
        for line in lines(one, None):
            voice.console.print(Text(line.text, style=line.colour), soft_wrap=True)
    named = {finding.cause for finding in one.verdict.findings}
    return [f"{cause} was planted and not named" for cause in choice.causes if cause not in named]


def keep(choice: Choice, voice: Voice, minutes: int, wait: Callable[[float], object]) -> None:
    """
    Serve the planted account until `wait` has waited for so many minutes, or is interrupted.

    Args:
        choice: what is planted.
        voice: how to say what to type.
        minutes: the most minutes that the server runs.
        wait: waits for so many seconds.
    """
    current = Current(choice, clock.now)
    with PlantedServer(current.account) as server:
        _announce(choice, voice, server.url, minutes)
        try:
            wait(minutes * 60.0)
        except KeyboardInterrupt:
            voice.say("")
    voice.say("stopped: nothing is served any more", event="stopped")


def pause(seconds: float) -> None:
    """Wait for so many seconds, or until Ctrl-C."""
    threading.Event().wait(seconds)


class Current:
    """
    The planted account as of now: the drain's beginning and its deadline stay where they are.

    Args:
        choice: what is planted.
        now: reads the clock.
    """

    def __init__(self, choice: Choice, now: Callable[[], datetime]) -> None:
        self._choice, self._now = choice, now
        self._moment = now()
        self._began = self._moment - AGO
        self._aws = choice.account(self._moment, self._began).aws

    def account(self) -> PlantedAws:
        """Return the account, planted again if what is planted would be over."""
        now = self._now()
        if now - self._moment >= AGAIN:
            self._moment = now
            self._aws = self._choice.account(now, self._began).aws
        return self._aws


def _planted(choice: Choice, voice: Voice) -> None:
    voice.say(f"{HERE} drains in cluster {CLUSTER}: {' + '.join(choice.causes)}")
    voice.say(f"drained by {choice.drainer}")
    voice.say(
        "All answers are planted facts, served by this program. There is no ECS behind them, and "
        "each write is refused."
    )


def _announce(choice: Choice, voice: Voice, url: str, minutes: int) -> None:
    exports = {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "NO_PROXY": "127.0.0.1",
    }
    command = f"{_python()} -m drainer explain {HERE}"
    if voice.as_json:
        voice.tell(
            {
                "event": "serving",
                "causes": choice.causes,
                "managed": choice.managed,
                "exports": exports,
                "cluster": CLUSTER,
                "instance": HERE,
                "command": command,
                "minutes": minutes,
            }
        )
        return
    _planted(choice, voice)
    voice.say(f"What counts down begins again after {AGAIN.seconds} s. In another terminal:\n")
    for name, value in exports.items():
        voice.say(f"  export {name}={value}")
    voice.say(f"\n  {command}")
    voice.say(f"  {command} --cluster {CLUSTER} --json")
    voice.say(f"  {_python()} -m drainer status\n")
    voice.say(f"It stops by itself after {counted(minutes, 'minute')}, or with Ctrl-C.")


def _python() -> str:
    """Return this Python as it is typed from here."""
    path, here = Path(sys.executable), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
