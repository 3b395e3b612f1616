"""
The results as text: tables of 80 columns, and the short one of docs/how-it-works.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from drainer.cli.bench import growth
from drainer.cli.bench.idle import STOPS_A_DAY
from drainer.cli.bench.prices import PRICES
from drainer.cli.bench.subjects import CDK, EXPLAINED, SAMPLE, SHIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from drainer.cli.bench.results import Figures, Results

COLUMNS = 80
# By the hours in which a metric is sent, so that it is no sum over drains.
METRIC_MONTH_DOLLARS, METRIC_PAGE = 0.30, "aws.amazon.com/cloudwatch/pricing/"
NONE = "-"
README_LENGTH = "seven minutes"
README_CELL = (
    "drains of seven minutes; instances released with tasks alive · time from the last task to the "
    "last answer · ECS calls for each drain · throttles · dollars for 1,000 drains"
)


def seconds(value: float | None) -> str:
    """Write seconds as a table shows them."""
    if value is None:
        return NONE
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004 - three digits


def count(value: float) -> str:
    """Write a count for each drain, with as many digits as it needs."""
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"  # noqa: PLR2004


Cell = tuple[str, "Callable[[Figures], str]"]
FATE: tuple[Cell, ...] = (
    ("tasks alive", lambda row: f"{row.alive:,}"),
    ("early", lambda row: f"{row.early:,}"),
    ("timeouts", lambda row: f"{row.timed_out:,}"),
    ("lag p50", lambda row: seconds(row.lag_p50)),
    ("p99", lambda row: seconds(row.lag_p99)),
    ("last", lambda row: seconds(row.lag_last)),
)
LOAD: tuple[Cell, ...] = (
    ("reads", lambda row: count(row.reads)),
    ("set", lambda row: count(row.modifies)),
    ("reads/s", lambda row: f"{row.reads_per_second:,}"),
    ("set/s", lambda row: f"{row.modifies_per_second:,}"),
    ("throttled", lambda row: f"{row.throttles:,}"),
    ("reached", lambda row: f"{row.reached:,}"),
)
COST: tuple[Cell, ...] = (
    ("invoked", lambda row: count(row.invocations)),
    ("parallel", lambda row: f"{row.concurrency:,}"),
    ("GB-s", lambda row: count(row.gigabyte_seconds)),
    ("messages", lambda row: count(row.messages)),
    ("$/1,000", lambda row: f"{row.dollars:.2f}"),
)


def show(results: Results) -> None:
    """Print everything."""
    console = Console(width=COLUMNS)
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    console.print(f"{results.date}: {results.command} ({versions})", highlight=False)
    for name in dict.fromkeys(row.subject for row in results.rows):
        console.print(f"  {name:8} {EXPLAINED[name]}", highlight=False)
    for title, cells in (
        ("released with tasks alive, and seconds from the last task to the answer", FATE),
        ("ECS: reads and changes a drain, worst second, throttles of all", LOAD),
        ("Lambda and messages for each drain, and dollars for 1,000 drains", COST),
    ):
        console.print(_table(title, cells, results.rows))
    console.print(_growth(results))
    console.print(_idle(results))
    console.print(_metrics(results), highlight=False)
    console.print(_prices(), highlight=False)
    for sentence in results.left_out:
        console.print(f"left out: {sentence}", highlight=False)


def _table(title: str, cells: tuple[Cell, ...], rows: Iterable[Figures]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 0), title_justify="left")
    for heading in ("number", "tasks", "drain", "who"):
        right = heading in ("number", "tasks")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for heading, _ in cells:
        table.add_column(heading, justify="right", no_wrap=True)
    before = None
    for row in rows:
        times = f"{row.runs} x " if row.runs > 1 else ""
        drain = (f"{times}{row.instances:,}", f"{row.tasks}", _short(row.length))
        values = [value(row) for _, value in cells]
        if row.missing:
            values = ["not available", *("" for _ in cells[1:])]
        if before not in (None, drain):
            table.add_section()
        table.add_row(*(drain if drain != before else ("", "", "")), row.subject, *values)
        before = drain
    return table


def _short(length: str) -> str:
    numbers = {"one": "1", "two": "2", "seven": "7"}
    number, _, unit = length.partition(" ")
    return f"{numbers[number]} {unit[0]}"


def _growth(results: Results) -> Table:
    table = Table(
        title="growth of the drainer as shipped", box=SIMPLE_HEAD, padding=(0, 0),
        title_justify="left",
    )  # fmt: skip
    for heading in ("instances", "reads in 15 s", "reads per s", "CPU of the simulation"):
        table.add_column(heading, justify="right")
    rows = [
        row
        for row in results.rows
        if row.subject == SHIPPED and row.length == README_LENGTH and row.tasks == 1 and row.runs
    ]
    for row in rows:
        reads = growth.reads_per_interval(row)
        table.add_row(
            f"{row.instances:,}",
            f"{reads:.1f}",
            f"{reads / growth.INTERVAL_SECONDS:.1f}",
            f"{row.cpu_seconds / row.runs:.1f} s",
        )
    exponent = growth.exponent(rows)
    if exponent is not None:
        table.caption = f"reads in 15 s grow as instances to the power of {exponent:.2f}"
    return table


def _idle(results: Results) -> Table:
    table = Table(
        title="idle for a month", min_width=40, box=SIMPLE_HEAD, padding=(0, 0),
        title_justify="left",
    )  # fmt: skip
    table.add_column("of")
    table.add_column("$", justify="right")
    for item, cost in sorted(results.idle.items(), key=lambda one: -one[1]):
        if cost >= 0.0005:  # noqa: PLR2004 - what three digits can show
            table.add_row(item, f"{cost:.3f}")
    table.add_row("all", f"{sum(results.idle.values()):.2f}")
    table.caption = f"{STOPS_A_DAY:,} tasks that stop each day cost {results.stops_cost:.2f} more"
    return table


def _metrics(results: Results) -> str:
    sent = max((row.metrics for row in results.rows), default=0)
    dollars = sent * METRIC_MONTH_DOLLARS
    return (
        f"not in these sums: {sent} custom metrics, at most ${dollars:.2f} a month, by the hours "
        f"in which they are sent (${METRIC_MONTH_DOLLARS:.2f} each, {METRIC_PAGE})"
    )


def _prices() -> str:
    lines = ["prices, US East (N. Virginia), no free tier (* from memory):"]
    for item, price in PRICES.items():
        page = price.source.removeprefix("https://")
        amount = f"${price.dollars:.10f}".rstrip("0").rstrip(".") + ("*" if price.assumed else "")
        units = f" for {price.units:,.0f}" if price.units > 1 else ""
        lines += [f"  {item}: {amount}{units}, {page}"]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """Return the table of docs/how-it-works.md."""
    rows = [row for row in results.rows if row.length == README_LENGTH and row.tasks == 1]
    by_size: dict[int, dict[str, Figures]] = {}
    for row in rows:
        by_size.setdefault(row.instances, {})[row.subject] = row
    lines = [
        "| instances at once | the drainer | aws-cdk's `InstanceDrainHook` | sample style |",
        "|---:|---|---|---|",
    ]
    lines += [
        f"| {size:,} | " + " | ".join(_cell(each.get(name)) for name in (SHIPPED, CDK, SAMPLE))
        + " |"
        for size, each in by_size.items()
    ]  # fmt: skip
    return "\n".join(
        [
            *lines,
            "",
            "![Released with tasks alive, last answer, and price](bench.svg)",
            f"`{results.command}`, {results.date}: {README_CELL}.",
        ]
    )


def _cell(row: Figures | None) -> str:
    if row is None:
        return "not run"
    if row.missing:
        return "not available"
    calls = count(row.reads + row.modifies)
    share = 100 * row.early / (row.instances * row.runs)
    early = f"**{share:.0f} %**" if row.early else "0 %"
    return f"{early} · {seconds(row.lag_last)} · {calls} · {row.throttles:,} · ${row.dollars:.2f}"
