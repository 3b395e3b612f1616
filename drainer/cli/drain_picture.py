"""
One drain of the simulation as an SVG for the README, readable on a light and on a dark page.

The function is production's own, in virtual time: the same picture on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.embedded.watch import DrainTrack, TaskTrack, instances_of
from drainer.simulation.scenario.installation import Settings, install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile
from drainer.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drainer.lifecycle.controller import PassReport

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NAME = "shop"
# As in the demo: three instances, six tasks behind a load balancer with AWS's default
# deregistration delay of 300 s, a daemon, and a job that ends by itself.
INSTANCES, TASKS, JOB_SECONDS = 3, 6, 200.0
WEB = TaskProfile(start_seconds=10.0, healthy_after_seconds=50.0, stop_seconds=30.0)
DAEMON = TaskProfile(start_seconds=5.0, healthy_after_seconds=0.0, stop_seconds=20.0)
# In the middle of what docs/limits.md assumes of EventBridge.
EVENT_SECONDS = 0.9
BEFORE, AFTER = timedelta(seconds=20), timedelta(seconds=25)
DRAIN_WITHIN = timedelta(hours=1)

WIDTH, LEFT, RIGHT = 880, 138, 14
TOP, ROW, BAR = 66, 27, 18
TICK_SECONDS = 60
# A status is written into its bar where it has room.
LETTER = 6.6
# Each stands out on white and on black, and the statuses are written as well.
COLOURS = {
    "InService": "#6e7781",
    "Terminating:Wait": "#8250df",
    "PENDING": "#9aa4af",
    "RUNNING": "#2da44e",
    "DEACTIVATING": "#bf8700",
    "STOPPING": "#d1480f",
}
KINDS = {"service": "service", "daemon": "daemon", "standalone": "RunTask"}
MEANINGS = {
    "RUNNING": "RUNNING",
    "DEACTIVATING": "DEACTIVATING: out of its target group, requests in progress end",
    "STOPPING": "STOPPING: SIGTERM, then SIGKILL",
}
# Its own page behind it: where a viewer ignores the colour scheme, no text vanishes.
STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de; }
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 14px; } .small { font-size: 10px; } .muted { opacity: .7; }
  .bar { font-size: 10px; fill: #ffffff; font-weight: 600; } .own { fill: #8250df; }
  line { stroke: #1f2328; stroke-opacity: .2; } .event { stroke: #8250df; stroke-opacity: 1; }
  .pass { stroke: #3b82f6; stroke-opacity: 1; stroke-width: 2; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; }
    .bar { fill: #ffffff; } line { stroke: #e6edf3; }
    .own { fill: #b083f0; } .event { stroke: #b083f0; } .pass { stroke: #6cb6ff; }
  }
"""


@dataclass(frozen=True)
class Story:
    """
    What has happened.

    Attributes:
        drain: the instance that left, and its tasks.
        replacements: tasks that began elsewhere meanwhile.
        passes: when the function looked.
    """

    drain: DrainTrack
    replacements: list[TaskTrack]
    passes: list[datetime]


class Passes(Telemetry):
    """Keeps when the function looked."""

    def __init__(self) -> None:
        self.at: list[datetime] = []

    def passed(self, report: PassReport, now: datetime) -> None:
        """Keep the instant of a pass that had a drain to look at."""
        if report.outcomes:
            self.at.append(now)


def tell() -> Story:
    """Let one of three instances leave."""
    account, passes = Aws(now=START), Passes()

    def build(environ: Any, client: Any, clock: Any, /) -> Any:
        return handler.build(environ, client, clock, passes)

    installed = install(
        account,
        build=build,
        environ={"DRAINER_CLUSTERS": NAME},
        settings=Settings(fast_path=True),
    )
    installed.rule.faults.append(lambda _: (EVENT_SECONDS,))
    account.auto_scaling.create_group(NAME, cluster=NAME, desired=INSTANCES)
    account.ecs.create_service(NAME, "web", desired=TASKS, profile=WEB)
    account.ecs.create_daemon(NAME, "agent", profile=DAEMON)
    leaving = next(iter(account.auto_scaling.groups[NAME].instances))
    account.ecs.run_standalone(NAME, leaving, seconds=JOB_SECONDS)
    account.auto_scaling.put_hook(
        LifecycleHook("drainer", NAME, notification_target_arn=installed.topic.arn)
    )
    account.run_for(BEFORE.total_seconds())
    account.auto_scaling.scale_in(NAME)
    account.run_until(lambda: not account.auto_scaling.lifecycle.open, DRAIN_WITHIN)
    account.run_for(AFTER.total_seconds())
    (action,) = account.auto_scaling.actions
    tracks = instances_of(account.history)
    replacements = [
        task
        for ec2_instance_id, track in tracks.items()
        for task in track.tasks.values()
        if ec2_instance_id != leaving and task.moves[0][0] >= action.started_at
    ]
    return Story(DrainTrack(action, tracks[leaving], {}), replacements, passes.at)


class Axis:
    """Where an instant is, from left to right."""

    def __init__(self, began_at: datetime, ended_at: datetime) -> None:
        self.began_at, self.ended_at = began_at, ended_at
        self._pixels = (WIDTH - LEFT - RIGHT) / (ended_at - began_at).total_seconds()

    def x(self, at: datetime) -> float:
        """Return where it is, at the edges at most."""
        inside = min(max(at, self.began_at), self.ended_at)
        return LEFT + (inside - self.began_at).total_seconds() * self._pixels


def draw(story: Story) -> str:
    """Return the picture."""
    drain = story.drain
    began_at, answered_at = drain.action.started_at, drain.answered_at
    if answered_at is None or drain.last_stopped_at is None:
        raise ValueError("the drain that is to be drawn has not ended")
    axis = Axis(began_at - BEFORE, answered_at + AFTER)
    rows = [("EC2 instance", [(axis.began_at, "InService"), (began_at, "Terminating:Wait")])]
    rows += [_row(task) for task in sorted(drain.tasks.values(), key=_end)]
    rows += [(f"replaces {_owner(task)}", task.moves) for task in story.replacements]
    bottom = TOP + ROW * (len(rows) + 1)
    lag = (answered_at - drain.last_stopped_at).total_seconds()
    minutes, seconds = divmod(int((answered_at - began_at).total_seconds()), 60)
    title = "One of three instances leaves: its hook is answered after its last task has ended"
    height = bottom + 62
    parts = [_svg(height), f"<title>{title}</title>", f"<style>{STYLE}</style>"]
    parts.append(f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>')
    parts += [_text(10, 24, title, "title"), *_ticks(axis, began_at, bottom)]
    for number, (label, moves) in enumerate(rows):
        y = TOP + ROW * number
        parts.append(_text(10, y + 13, label))
        parts += _bars(axis, moves, answered_at if number == 0 else axis.ended_at, y)
    y = TOP + ROW * len(rows)
    parts.append(_text(10, y + 13, "passes of the function"))
    for at in story.passes:
        x = axis.x(at)
        parts.append(_line(x, y + 2, x, y + BAR - 2, "pass"))
    for at, words, anchor in (
        (began_at, "Auto Scaling notifies, DRAINING is set", "start"),
        (answered_at, f"answer after {minutes} min {seconds} s", "end"),
    ):
        parts.append(_line(axis.x(at), TOP - 14, axis.x(at), bottom, "event"))
        parts.append(_text(axis.x(at), TOP - 20, words, "small own", anchor))
    parts += _legend(bottom + 34)
    told = f"The answer comes {lag:.1f} s after the last task was STOPPED. From a simulated drain."
    parts.append(_text(10, bottom + 52, told, "small muted"))
    return "\n".join([*parts, "</svg>", ""])


def _row(task: TaskTrack) -> tuple[str, list[tuple[datetime, str]]]:
    return f"{KINDS[task.owner.partition(':')[0]]} {_owner(task)}", task.moves


def _owner(task: TaskTrack) -> str:
    return task.owner.partition(":")[2]


def _end(task: TaskTrack) -> tuple[datetime, str]:
    return task.moves[-1][0], task.task_id


def _bars(
    axis: Axis, moves: list[tuple[datetime, str]], until: datetime, y: float
) -> Iterator[str]:
    ends = [at for at, _ in moves[1:]] + [until]
    for (at, status), end in zip(moves, ends, strict=True):
        left, right = axis.x(at), axis.x(end)
        if status not in COLOURS or right <= left:
            continue
        box = f'x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="{BAR}"'
        seconds = (min(end, axis.ended_at) - max(at, axis.began_at)).total_seconds()
        told = f"<title>{status}, {seconds:.0f} s</title>"
        yield f'<rect {box} rx="2" fill="{COLOURS[status]}">{told}</rect>'
        if right - left > LETTER * len(status) + 8:
            yield _text(left + 5, y + 13, status, "bar")


def _ticks(axis: Axis, began_at: datetime, bottom: float) -> Iterator[str]:
    at, minute = began_at, 0
    while at <= axis.ended_at:
        x = axis.x(at)
        yield _line(x, TOP - 6, x, bottom)
        yield _text(x, bottom + 14, f"{minute} min", "small muted", "middle")
        at, minute = at + timedelta(seconds=TICK_SECONDS), minute + 1


def _legend(y: float) -> Iterator[str]:
    x = 10.0
    for status, words in MEANINGS.items():
        box = f'x="{x:.1f}" y="{y - 10}" width="12" height="12" rx="2"'
        yield f'<rect {box} fill="{COLOURS[status]}"/>'
        yield _text(x + 18, y, words)
        x += 40 + LETTER * len(words)


def _svg(height: float) -> str:
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} class="{kind}"/>'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"
