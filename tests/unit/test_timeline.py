"""What a demo has watched of an instance, and the picture of it at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from drainer.cli.demo.timeline import draw
from drainer.simulation.embedded.watch import DrainTrack, instances_of
from drainer.simulation.records import Fact
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction, LifecycleHook

BEGAN_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
INSTANCE = "i-00000000000000001"


def fact(seconds: float, kind: str, **about: str) -> Fact:
    return Fact(BEGAN_AT + timedelta(seconds=seconds), kind, {"ec2_instance_id": INSTANCE, **about})


def task(seconds: float, task_id: str, last_status: str) -> Fact:
    return fact(seconds, "task", task_id=task_id, owner="service:web", last_status=last_status)


HISTORY = (
    fact(-90, "launched"),
    fact(-80, "container_instance", status="ACTIVE"),
    task(-60, "before", "RUNNING"),
    task(-60, "abcd-long", "RUNNING"),
    task(-30, "before", "STOPPED"),
    fact(10, "container_instance", status="DRAINING"),
    task(40, "abcd-long", "STOPPING"),
    task(40, "abcd-long", "STOPPING"),
    task(60, "abcd-long", "STOPPED"),
    fact(90, "terminated"),
)


def drain(*history: Fact, answered: float | None) -> DrainTrack:
    """
    Return the drain of the instance that these facts tell of.
    """
    end = BEGAN_AT + timedelta(days=1)
    hook = LifecycleHook("drainer", "group")
    action = LifecycleAction("token", hook, INSTANCE, BEGAN_AT, end, end)
    action.ended_at = None if answered is None else BEGAN_AT + timedelta(seconds=answered)
    return DrainTrack(action, instances_of(history)[INSTANCE], {})


def test_a_drain_is_of_the_tasks_that_were_there_when_it_began() -> None:
    # One that ended before would be said to have been let go of, or waited for.
    track = drain(*HISTORY, answered=80.0)

    assert list(track.tasks) == ["abcd-long"]
    assert [status for _, status in track.tasks["abcd-long"].moves] == [
        "RUNNING",
        "STOPPING",
        "STOPPED",
    ]
    assert track.last_stopped_at == BEGAN_AT + timedelta(seconds=60)


def test_an_instance_is_as_its_facts_leave_it() -> None:
    # A verdict over a container instance that was never set DRAINING would be none.
    instance = instances_of(HISTORY)[INSTANCE]

    assert (instance.status, instance.terminated) == ("DRAINING", True)
    assert instance.joined_at == BEGAN_AT - timedelta(seconds=80)
    assert instance.draining_at == BEGAN_AT + timedelta(seconds=10)


def test_a_drain_with_a_task_left_has_no_last_end() -> None:
    # An answer over a task that remains would count as one after the last task.
    assert drain(*HISTORY[:-2], answered=50.0).last_stopped_at is None


def test_a_bar_changes_where_its_task_does_and_ends_before_the_answer() -> None:
    # 80 seconds on 80 columns: what runs into the answer's mark was let go early.
    [axis, bar, pointer] = draw(drain(*HISTORY, answered=80.0), BEGAN_AT, columns=106, blocks=False)
    picture = bar.plain.removeprefix("web abcd").strip()

    assert axis.plain.strip().startswith("0s")
    assert picture == "r" * 39 + "s" * 19 + " " * 19 + "|"
    assert pointer.plain.strip() == "answered +80 s ^"


def test_where_there_was_no_answer_none_is_shown() -> None:
    lines = draw(drain(*HISTORY, answered=None), BEGAN_AT, columns=106, blocks=True)

    assert "|" not in "".join(line.plain for line in lines)
    assert "▓" in lines[1].plain
