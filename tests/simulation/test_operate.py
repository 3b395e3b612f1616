"""What an operator does beside the drainer: extends a deadline, drains by hand, releases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.records import RecordTable
from drainer.cli.history import past
from drainer.drain import record_codec
from drainer.simulation.records import ApiError
from tests.operate.shell import WHO, Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.drain.record import DrainRecord
    from tests.simulation.conftest import World

SWEEP_SECONDS = 300
PASS_SECONDS = 15 + 1
TIMEOUT = 1_200
# Of a job that the drain has to wait for.
FOREVER = 100_000.0
HOUR = timedelta(hours=1)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(sweep_interval_seconds=SWEEP_SECONDS)


def shell_of(world: World) -> Shell:
    """An operator's terminal: the function's policy does not hold for it."""
    return Shell(world.account, table=world.installed.records, aside=[world.gate])


def extend(length: str, id_: str) -> Callable[[Any], int]:
    return lambda one: one.extend(id_, length)


def stuck(world: World, **more: Any) -> str:
    """An instance that leaves with a job on it which does not end."""
    world.group(metadata={"drain_timeout_seconds": TIMEOUT}, **more)
    world.account.ecs.run_standalone("payments", world.oldest, seconds=FOREVER)
    [id_] = world.scale_in()
    return id_


def record_of(world: World, id_: str) -> DrainRecord:
    client = world.account.client
    table = RecordTable(client, world.installed.records, record_codec)
    world.account.interceptors.remove(world.gate)
    [row] = table.of_instance([id_])[id_]
    world.account.interceptors.append(world.gate)
    assert row is not None
    assert not isinstance(row, Exception)
    return row


def answered_seconds(world: World) -> float:
    return world.seconds(world.until_answered().ended_at)


# -- extend


@pytest.mark.parametrize("named", [True, False], ids=["with a token", "found by the sweep"])
def test_an_extended_drain_is_answered_at_its_new_deadline(world: World, *, named: bool) -> None:
    # Answered at the former one, the job that was to have its time is cut.
    if not named:
        world.installed.topic.subscriptions[0].channel.faults.append(lambda _: ())
    id_ = stuck(world)
    world.run(600)
    before = record_of(world, id_).drain.deadline_at
    assert before is not None

    assert shell_of(world).run(extend("1h", id_)) == 0

    record = record_of(world, id_)
    assert (record.drain.deadline_at, record.extended_by) == (before + HOUR, WHO)
    later = world.seconds(before) + HOUR.total_seconds()
    assert later <= answered_seconds(world) <= later + 3 * PASS_SECONDS
    assert world.installed.dead_letters == []


def test_it_is_answered_before_that_once_its_tasks_have_ended(world: World) -> None:
    # An empty instance costs money and holds up its group.
    world.group(metadata={"drain_timeout_seconds": TIMEOUT})
    world.account.ecs.run_standalone("payments", world.oldest, seconds=2_000.0)
    [id_] = world.scale_in()
    world.run(1_000)

    assert shell_of(world).run(extend("2h", id_)) == 0

    assert TIMEOUT < answered_seconds(world) < 2_000 + 5 * PASS_SECONDS
    assert world.killed == []


def test_an_extension_survives_a_table_that_cannot_be_read_past_the_former_deadline(
    world: World,
) -> None:
    # The message that was published after the extension carries it.
    id_ = stuck(world)
    world.run(600)
    assert shell_of(world).run(extend("1h", id_)) == 0
    world.run(60)

    def refuse(call: Any) -> None:
        if call.service == "dynamodb" and world.seconds(call.at) < 3_000:
            raise ApiError("InternalServerError", "refused by the story", 500)

    world.account.interceptors.append(refuse)

    later = TIMEOUT + HOUR.total_seconds()
    assert later <= answered_seconds(world) <= later + 3 * PASS_SECONDS


def test_a_second_extension_counts_from_the_first(world: World) -> None:
    id_ = stuck(world)
    world.run(600)
    for _ in range(2):
        assert shell_of(world).run(extend("30m", id_)) == 0

    later = TIMEOUT + HOUR.total_seconds()
    assert later <= answered_seconds(world) <= later + 3 * PASS_SECONDS


def test_no_extension_reaches_beyond_what_the_hook_grants(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # Past it Auto Scaling ends the action itself, with the hook's default result.
    id_ = stuck(world, heartbeat_timeout_seconds=30)
    world.run(600)
    shell = shell_of(world)

    assert shell.run(extend("2h", id_)) == 1

    assert shell.writes == []
    advice = capsys.readouterr().err.strip()
    # 3000 s of the hook, less 180 s of margin, less 1200 s.
    assert advice.endswith(f"at most: drainer extend {id_} 27m")
    assert shell.run(extend("27m", id_)) == 0
    action = world.until_answered()
    assert action.ended_by == "completed"
    assert TIMEOUT + 1_600 < world.seconds(action.ended_at) < 3_000


def test_an_extension_that_the_hooks_owner_makes_impossible_ends_before_the_hook_does(
    world: World,
) -> None:
    # The global timeout is lowered after the command has judged it.
    id_ = stuck(world, heartbeat_timeout_seconds=60)
    world.run(600)
    assert shell_of(world).run(extend("60m", id_)) == 0
    world.hook(metadata={"drain_timeout_seconds": TIMEOUT}, heartbeat_timeout_seconds=30)

    action = world.until_answered()

    assert action.ended_by == "completed"
    assert 2_700 < world.seconds(action.ended_at) < 3_000


def test_a_pass_that_writes_at_the_same_time_does_not_take_the_extension_back(
    world: World,
) -> None:
    # The pass has read the record before, and writes it after.
    id_ = stuck(world)
    world.run(600)
    shell, done = shell_of(world), list[int]()

    def between(call: Any) -> None:
        if call.operation == "UpdateItem" and not done:
            done.append(0)
            done[0] = shell.run(extend("1h", id_)) + 1

    world.account.interceptors.append(between)

    later = TIMEOUT + HOUR.total_seconds()
    assert later <= answered_seconds(world) <= later + 3 * PASS_SECONDS
    assert done == [1]


@pytest.mark.parametrize("seconds", [1_195, 1_600])
def test_what_has_passed_or_is_about_to_is_not_extended(
    world: World, seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # A pass that has begun may answer: the operator would be told of an hour that is not there.
    id_ = stuck(world)
    world.run(seconds)
    shell = shell_of(world)

    assert shell.run(extend("1h", id_)) in (1, 3)

    assert shell.writes == []
    assert "error: " in capsys.readouterr().err


def test_what_is_no_drain_of_ours_is_not_extended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.group()
    shell = shell_of(world)

    assert shell.run(extend("1h", world.oldest)) == 3
    assert shell.run(extend("soon", world.oldest)) == 2
    shell.table = ""
    assert shell.run(extend("1h", world.oldest)) == 3

    assert shell.writes == []
    assert "--stack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ThrottlingException", "ThrottlingException"),
        ("ConditionalCheckFailedException", "see drainer status"),
    ],
)
def test_an_extension_that_was_not_written_is_said(
    world: World, code: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = stuck(world)
    world.run(600)
    shell = shell_of(world)

    def refuse(call: Any) -> None:
        if call.operation == "UpdateItem":
            raise ApiError(code, "refused by the story", 400)

    world.account.interceptors.append(refuse)

    assert shell.run(extend("1h", id_)) == 1
    assert says in capsys.readouterr().err


def test_a_dry_run_of_an_extension_writes_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    id_ = stuck(world)
    world.run(600)
    shell, before = shell_of(world), record_of(world, id_)

    assert shell.run(extend("1h", id_), dry_run=True) == 0

    assert (shell.writes, record_of(world, id_)) == ([], before)
    said = capsys.readouterr().out
    assert "aws dynamodb update-item" in said
    token = world.account.auto_scaling.actions[-1].token
    assert token not in said


# -- release


def test_release_answers_with_the_token_of_the_record_and_never_shows_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # By the instance's id an answer may go to a later action of the same instance.
    id_ = stuck(world)
    world.run(600)
    shell = shell_of(world)
    for dry_run, as_json in ((True, False), (True, True), (False, False), (False, True)):
        shell.run(lambda one: one.release(id_, ""), yes=True, dry_run=dry_run, as_json=as_json)

    action = world.account.auto_scaling.actions[-1]
    assert shell.writes[0].parameters["LifecycleActionToken"] == action.token
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    said = capsys.readouterr()
    assert action.token not in said.out + said.err
    assert "***" in said.out
    # The drainer finds that it is over, and answers no more.
    world.run(2 * SWEEP_SECONDS)
    assert world.calls("CompleteLifecycleAction", error=None) == 1
    assert record_of(world, id_).end == "over"


def test_the_record_says_who_released_it_through_all_passes_that_follow(world: World) -> None:
    # A job was killed, and a week later somebody asks who did that.
    id_ = stuck(world)
    world.run(600)

    assert shell_of(world).run(lambda one: one.release(id_, ""), yes=True) == 0

    assert record_of(world, id_).released_by == WHO
    world.run(2 * SWEEP_SECONDS)
    record = record_of(world, id_)
    assert (record.end, record.released_by) == ("over", WHO)
    assert past.decision(record) == "released by hand"


def test_an_answer_that_is_refused_is_nobodys_release(world: World) -> None:
    # The record would name somebody who has changed nothing.
    id_ = stuck(world)
    world.run(600)
    shell = shell_of(world)
    shell.refuse("CompleteLifecycleAction", "ValidationError")

    assert shell.run(lambda one: one.release(id_, ""), yes=True) == 1

    assert "UpdateItem" not in shell.operations
    assert record_of(world, id_).released_by == ""


def test_a_release_that_the_record_does_not_tell_of_is_said_to_be_one(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # Taken for a failure, it would be typed again; taken for a success, the name is missing later.
    id_ = stuck(world)
    world.run(600)
    shell = shell_of(world)
    shell.refuse("UpdateItem", "AccessDeniedException")

    assert shell.run(lambda one: one.release(id_, ""), yes=True) == 1

    said = capsys.readouterr()
    assert f"Released {id_}" in said.out
    assert "It is released, but its record does not say by whom" in said.err


def test_release_goes_on_without_the_table(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    # With the table gone nobody could let an instance go.
    id_ = stuck(world)
    world.run(600)
    shell = shell_of(world)
    shell.table = ""

    assert shell.run(lambda one: one.release(id_, ""), yes=True) == 0

    assert "LifecycleActionToken" not in shell.writes[0].parameters
    assert "? The action's token was not read" in capsys.readouterr().err


# -- drain by hand


def test_what_was_drained_by_hand_is_never_set_active_by_the_drainer(world: World) -> None:
    # The operator repairs a machine that gets tasks again meanwhile.
    world.group(desired=3)
    world.service(3)
    [gone] = world.scale_in()
    world.until_answered()
    instances = world.account.auto_scaling.groups["payments-asg"].instances.values()
    id_ = next(one.ec2_instance_id for one in instances if one.lifecycle_state == "InService")
    assert id_ != gone
    shell = shell_of(world)

    assert shell.run(lambda one: one.drain([id_], "repair", wait=False, timeout="")) == 0
    world.run(24 * 3_600)

    here = world.account.ecs.container_instance(id_)
    assert here is not None
    assert here.status == "DRAINING"
    assert world.reports.returns == []
    assert world.account.ecs.remaining_tasks(id_) == []
    # Its group still has it, and a later drain of it is answered. The other instance has the tasks,
    # which have no place to go to: it would wait for two days.
    world.account.auto_scaling.scale_in("payments-asg", 2)
    [action] = [one for one in world.account.auto_scaling.actions if one.ec2_instance_id == id_]
    world.account.run_until(lambda: not action.is_open, timedelta(minutes=10))
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    assert world.killed == []
