"""
The command: run the rows, show the tables, keep the results and the picture.
"""

from __future__ import annotations

import argparse
import gc
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from drainer import clock
from drainer.cli.bench import cdk, idle, ours, picture, results, sleeping, start_up, tables
from drainer.cli.bench.drains import LENGTHS, Drain, TooLongError
from drainer.cli.bench.fleets import FLEETS, drain_fleet
from drainer.cli.bench.outcome import measure
from drainer.cli.bench.plan import LEFT_OUT, OTHERS_MAX, SIZES, Row, chosen_rows, default_rows
from drainer.cli.bench.subjects import CDK, EXPLAINED, OURS, SHIPPED, subjects

if TYPE_CHECKING:
    from drainer.cli.bench.cdk import Published
    from drainer.cli.bench.outcome import Outcome, Subject

DOCS = Path(__file__).resolve().parents[3] / "docs"
JSON, PICTURE = DOCS / "bench.json", DOCS / "bench.svg"
# What is tried instead of a crowd that takes too long.
FALLBACK = {5_000: 3_000}
STARTS = 15
COLLECT_AFTER = (100_000, 50, 100)


def main(arguments: list[str] | None = None) -> None:
    """Run what was asked for."""
    parser = _parser()
    given = sys.argv[1:] if arguments is None else arguments
    asked = parser.parse_args(given)
    # What an account holds lives as long as its run: looking for garbage took a quarter of it.
    gc.set_threshold(*COLLECT_AFTER)
    if asked.fleets:
        for size in FLEETS:
            cost = drain_fleet(size)
            print(
                f"fleet of {size:,}: {cost.reads:.1f} reads for each, {cost.throttles} throttles, "
                f"the response {cost.lag_seconds:.0f} s after the last task"
            )
        return
    if asked.start_up:
        sys.exit(start_up.show(asked.start_up))
    if asked.draw:
        kept = results.read(JSON)
        PICTURE.write_text(picture.draw(kept), encoding="utf-8")
        tables.show(kept)
        print(_assumed())
        return
    rows = default_rows()
    if asked.who or asked.sizes or asked.tasks or asked.lengths:
        rows = chosen_rows(
            asked.who or [SHIPPED], asked.sizes or [1], asked.tasks or [1], asked.lengths or ["7m"]
        )
    command = " ".join(["make bench", f'WHAT="{" ".join(given)}"'] if given else ["make bench"])
    found = run(rows, cdk.published(), command)
    tables.show(found)
    print(_assumed())
    if not given:
        found.write(JSON)
        PICTURE.write_text(picture.draw(found), encoding="utf-8")


def run(rows: list[Row], published: Published | str, command: str) -> results.Results:
    """Measure the rows."""
    known = subjects(published)
    kept: list[results.Figures] = []
    left_out = []
    if isinstance(published, str):
        left_out.append(f"{CDK}: {published}")
    if any(row.drain.instances > OTHERS_MAX for row in rows):
        left_out.append(LEFT_OUT)
    for row in rows:
        if row.subject not in known:
            kept.append(results.absent(row, str(published)))
            continue
        outcome = _measured(known[row.subject], row, left_out)
        if outcome is None:
            continue
        kept.append(results.figures(outcome))
    versions = {} if isinstance(published, str) else {cdk.PACKAGE: published.version}
    quiet, busy = (idle.idle_month(ours.Sources(), n) for n in (0, idle.STOPS_A_DAY))
    return results.Results(
        clock.now().date().isoformat(),
        command,
        versions,
        kept,
        left_out,
        {str(item): round(cost, 4) for item, cost in quiet.items()},
        round(sum(busy.values()) - sum(quiet.values()), 4),
    )


def _assumed() -> str:
    """Say what the seconds and the money rest on."""
    base, call, record = (
        1_000 * seconds
        for seconds in (
            ours.BASE_SECONDS,
            ours.CALL_SECONDS["*"],
            ours.CALL_SECONDS["UpdateItem"],
        )
    )
    drainer, other = (
        f"{1_024 * gigabytes:.0f} MB"
        for gigabytes in (ours.shipped().memory_gigabytes, sleeping.MEMORY_GIGABYTES)
    )
    return textwrap.fill(
        f"assumed: an invocation takes {base:.0f} ms, {call:.0f} ms for each call and {record:.0f} "
        f"ms for each of DynamoDB's, and no cold start; the drainer has {drainer}, arm64, the "
        f"others {other}, x86_64; ECS sends no container instance event at the end of a task whose "
        "stop the scheduler requested; boto3 tries again as it does for each program.",
        tables.COLUMNS,
    )


def _measured(subject: Subject, row: Row, left_out: list[str]) -> Outcome | None:
    """Measure a row; one that takes too long is left out, and a smaller one tried."""
    drain = row.drain
    print(f"{subject.name}: {drain.instances:,} x {drain.length.name} ...", file=sys.stderr)
    try:
        return measure(subject, drain, row.runs)
    except TooLongError as error:
        left_out.append(f"{subject.name}, {drain.instances:,} instances: {error}")
    smaller = FALLBACK.get(drain.instances)
    if smaller is None:
        return None
    return _measured(subject, Row(row.subject, Drain(smaller, drain.tasks, drain.length)), left_out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Drain one simulated account with the drainer and with others. Without "
        "options: the rows of the README, kept in docs/bench.json and docs/bench.svg.",
    )
    names = [*OURS, *(name for name in EXPLAINED if name not in OURS)]
    parser.add_argument("--who", nargs="+", choices=names, help="who drains (default: shipped)")
    parser.add_argument(
        "--sizes", nargs="+", type=int, help=f"instances at once, such as {SIZES} (default: 1)"
    )
    parser.add_argument("--tasks", nargs="+", type=int, help="tasks on each instance (default: 1)")
    parser.add_argument("--lengths", nargs="+", choices=[*LENGTHS], help="of a drain (default: 7m)")
    parser.add_argument("--fleets", action="store_true", help="drain Spot Fleets for a stack")
    parser.add_argument(
        "--start-up", type=int, nargs="?", const=STARTS, metavar="RUNS",
        help=f"compare the CPU of cold starts (default: {STARTS} of each)",
    )  # fmt: skip
    parser.add_argument("--draw", action="store_true", help="show and draw what was kept")
    return parser


if __name__ == "__main__":
    main()
