"""The commands that act, on a simulated account: what each reads, writes, refuses and says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from drainer.cli.operate.facts import DRAINED_WHY
from drainer.drain.attributes import DRAINED_BY, INTERRUPTED
from drainer.simulation.aws import Aws
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook
from drainer.simulation.services.ecs.definitions import TaskProfile
from tests.operate.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.cli.operate.run import Operate

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
GROUP, CLUSTER, HOOK = "payments-asg", "payments", "drainer"
UNKNOWN = "i-0fffffffffffffff0"
WAIT = "Terminating:Wait"


@pytest.fixture
def account() -> Aws:
    account = Aws(now=START)
    account.auto_scaling.create_group(
        GROUP, cluster=CLUSTER, desired=5, launch_seconds=60, retain_on_abandon=True
    )
    account.auto_scaling.put_hook(LifecycleHook(HOOK, GROUP, heartbeat_timeout_seconds=3_600))
    profile = TaskProfile(healthy_after_seconds=10, stop_seconds=10)
    account.ecs.create_service(
        CLUSTER, "web", desired=5, profile=profile, deregistration_delay_seconds=None
    )
    account.run_for(120)
    return account


@pytest.fixture
def shell(account: Aws) -> Shell:
    return Shell(account)


@pytest.fixture
def ids(account: Aws) -> list[str]:
    return [*account.auto_scaling.groups[GROUP].instances]


def leaving(account: Aws) -> str:
    """An instance that waits at the hook."""
    [one] = account.auto_scaling.scale_in(GROUP, 1)
    account.run_for(10)
    assert one.lifecycle_state == WAIT
    return one.ec2_instance_id


def registration(account: Aws, id_: str) -> Any:
    return account.ecs.container_instance(id_)


def drain(ids: list[str], why: str = "", **more: Any) -> Callable[[Operate], int]:
    given = {"wait": False, "timeout": "", **more}
    return lambda one: one.drain(ids, why, **given)


# -- drain and undrain


def test_drain_sets_draining_and_keeps_who_and_why(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody could say later who has taken the instance out of service.
    assert shell.run(drain([ids[0]], "kernel CVE: #7")) == 0

    here = registration(account, ids[0])
    assert here.status == "DRAINING"
    # ECS takes no other characters.
    assert here.attributes[DRAINED_WHY] == "kernel CVE: _7"
    assert here.attributes[DRAINED_BY] == "2026-11-20T12:02:00Z assumed-role/ops_/anna_b"
    assert shell.operations == ["UpdateContainerInstancesState", "PutAttributes"]
    said = capsys.readouterr()
    assert f"{ids[0]} ({GROUP}, {CLUSTER}): 1 task: 1 service web." in said.out
    assert f"Undo: drainer undrain {ids[0]}" in said.err
    assert {registration(account, one).status for one in ids[1:]} == {"ACTIVE"}


def test_more_than_ten_take_more_than_one_call(shell: Shell, account: Aws) -> None:
    # ECS rejects the eleventh, and none would be drained.
    account.auto_scaling.create_group("many", cluster="many", desired=12)
    many = [*account.auto_scaling.groups["many"].instances]

    assert shell.run(drain(many)) == 0

    sizes = [
        len(call.parameters["containerInstances"])
        for call in shell.writes
        if call.operation == "UpdateContainerInstancesState"
    ]
    assert sizes == [10, 2]
    assert {registration(account, one).status for one in many} == {"DRAINING"}


def test_each_instance_that_ecs_refuses_is_named(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # One failure among ten would look like ten drains.
    def deregister(call: Any) -> None:
        if call.operation == "UpdateContainerInstancesState":
            here = registration(account, ids[1])
            account.ecs.clusters[CLUSTER].container_instances.pop(here.arn, None)

    account.interceptors.append(deregister)

    assert shell.run(drain(ids[:3], "patch")) == 1

    said = capsys.readouterr()
    assert f"error: {ids[1]} was not changed: MISSING" in said.err
    assert f"{ids[0]} is DRAINING." in said.out
    assert f"{ids[1]} is DRAINING." not in said.out
    # Who and why are not written to what was not changed.
    assert shell.operations == ["UpdateContainerInstancesState", "PutAttributes", "PutAttributes"]


@pytest.mark.parametrize("refused", [True, False])
def test_how_to_undo_is_said_of_a_change_only(
    shell: Shell, ids: list[str], capsys: pytest.CaptureFixture[str], *, refused: bool
) -> None:
    # After a denied drain it said how to undo it: an ACTIVE instance looked as if it drained.
    if refused:
        shell.refuse("UpdateContainerInstancesState", "AccessDeniedException")

    assert shell.run(drain([ids[0]], "patch")) == int(refused)

    assert ("Undo: " in capsys.readouterr().err) is not refused


def test_who_and_why_that_are_not_kept_are_an_error_beside_the_drain(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shell.refuse("PutAttributes", "AttributeLimitExceededException")

    assert shell.run(drain([ids[0]], "patch")) == 1

    assert registration(account, ids[0]).status == "DRAINING"
    assert f"error: {ids[0]} is DRAINING, but who and why were not kept" in capsys.readouterr().err


def test_what_is_draining_already_is_left_alone(
    shell: Shell, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Its owner's name would be replaced by another's.
    shell.run(drain([ids[0]], "first"))
    shell.writes.clear()

    assert shell.run(drain([ids[0]], "second")) == 0

    assert shell.writes == []
    assert f"nothing to do: {ids[0]}" in capsys.readouterr().out


def test_undrain_sets_active_and_forgets_who_and_why(
    shell: Shell, account: Aws, ids: list[str]
) -> None:
    # A later DRAINING by somebody else would be shown with the name of the first.
    shell.run(drain([ids[0]], "patch"))
    shell.writes.clear()

    assert shell.run(lambda one: one.undrain([ids[0]])) == 0

    here = registration(account, ids[0])
    assert here.status == "ACTIVE"
    assert not {DRAINED_BY, DRAINED_WHY} & set(here.attributes)
    assert shell.operations == ["UpdateContainerInstancesState", "DeleteAttributes"]


def test_undrain_of_what_is_active_forgets_an_earlier_drain(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Left behind by a denied DeleteAttributes, or by ACTIVE in the console, they could not be
    # removed, and kept a later DRAINING of the drainer's own.
    shell.run(drain([ids[0]], "patch"))
    account.ecs.set_status(registration(account, ids[0]), "ACTIVE")
    shell.writes.clear()

    assert shell.run(lambda one: one.undrain(ids[:2])) == 0

    assert not {DRAINED_BY, DRAINED_WHY} & set(registration(account, ids[0]).attributes)
    assert shell.operations == ["DeleteAttributes"]
    said = capsys.readouterr().out
    assert f"{ids[0]} ({GROUP}, {CLUSTER}) is ACTIVE: the attributes of an earlier drain" in said
    assert f"nothing to do: {ids[1]} ({GROUP}, {CLUSTER}) is ACTIVE." in said


def test_drain_of_what_is_draining_keeps_who_wants_it_to_stay_so(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Back from a warm pool, it would be set ACTIVE minutes after "It is DRAINING already".
    here = registration(account, ids[0])
    account.ecs.set_status(here, "DRAINING")

    assert shell.run(drain([ids[0]], "repair")) == 0

    assert shell.operations == ["PutAttributes"]
    assert here.attributes[DRAINED_WHY] == "repair"
    assert "It is DRAINING already, and stays so" in capsys.readouterr().out
    shell.writes.clear()
    assert shell.run(drain([ids[0]], "again")) == 0
    assert shell.writes == []
    assert here.attributes[DRAINED_WHY] == "repair"


def test_undrain_refuses_what_waits_at_a_terminating_hook(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # Tasks would be placed on it for a quarter of a minute, and moved again.
    id_ = leaving(account)
    account.ecs.set_status(registration(account, id_), "DRAINING")

    assert shell.run(lambda one: one.undrain([id_]), yes=True) == 1

    assert shell.writes == []
    assert f"drainer release {id_}" in capsys.readouterr().err


def test_undrain_refuses_what_spot_takes_back(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    here = registration(account, ids[0])
    account.ecs.set_status(here, "DRAINING")
    here.attributes[INTERRUPTED] = "stop"

    assert shell.run(lambda one: one.undrain([ids[0]]), yes=True) == 1

    assert shell.writes == []
    assert "Spot" in capsys.readouterr().err


# -- drain --wait


def test_wait_ends_once_every_task_is_stopped(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # A script that goes on too early terminates an instance with tasks on it.
    assert shell.run(drain([ids[0]], wait=True, timeout="30m")) == 0

    assert account.ecs.remaining_tasks(ids[0]) == []
    said = capsys.readouterr().out
    assert "service web: 1 RUNNING" in said
    assert "drained in" in said


def test_wait_reads_less_than_once_a_second(shell: Shell, account: Aws, ids: list[str]) -> None:
    # The drainer's own reads share the account's limit of 20 a second.
    before = len(account.calls)
    shell.run(drain(ids, wait=True, timeout="10m"))

    began = next(c.at for c in [*account.calls][before:] if c.operation.startswith("Update"))
    reads = [c for c in [*account.calls][before:] if c.service == "ecs" and c.at > began]
    assert len(reads) > 20
    assert len(reads) <= (account.now - began).total_seconds()


def test_wait_ends_with_its_time(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    account.ecs.run_standalone(CLUSTER, ids[0], seconds=None)
    account.run_for(60)

    assert shell.run(drain([ids[0]], wait=True, timeout="5m")) == 1

    assert "not drained after 5m" in capsys.readouterr().err
    assert registration(account, ids[0]).status == "DRAINING"


def test_ctrl_c_ends_the_watching_and_not_the_drain(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    shell.slept = interrupt

    assert shell.run(drain([ids[0]], wait=True)) == 130

    assert registration(account, ids[0]).status == "DRAINING"
    said = capsys.readouterr().err
    assert "Still draining: this command only watched." in said
    assert f"Undo: drainer undrain {ids[0]}" in said


def test_wait_says_that_somebody_has_ended_the_drain(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # It would else wait for ever, or call tasks that stop later a drain.
    shell.slept = lambda: account.ecs.set_status(registration(account, ids[0]), "ACTIVE")

    assert shell.run(drain([ids[0]], wait=True, timeout="30m")) == 1
    assert f"{ids[0]} is ACTIVE again" in capsys.readouterr().err


# -- release


def test_release_names_what_is_cut_and_asks(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # A user's task is killed: nobody should learn of it afterwards.
    id_ = leaving(account)
    [task] = account.ecs.remaining_tasks(id_)
    shell.typed = id_[-4:]

    assert shell.run(lambda one: one.release(id_, "")) == 0

    said = capsys.readouterr().out
    assert f"Releasing {id_} ({GROUP}) now cuts 1 task:" in said
    assert "service web" in said
    assert "RUNNING" in said
    assert task.arn.rpartition("/")[2][:8] in said
    [action] = account.auto_scaling.actions
    assert (action.result, action.ended_by) == ("CONTINUE", "completed")
    [call] = shell.writes
    assert call.parameters["InstanceId"] == id_
    assert "LifecycleActionToken" not in call.parameters


@pytest.mark.parametrize(("typed", "code"), [("", 1), ("no", 1), ("y", 1), (None, 2)])
def test_release_without_the_right_answer_does_nothing(
    shell: Shell, account: Aws, typed: str | None, code: int
) -> None:
    id_ = leaving(account)
    shell.typed = typed

    assert shell.run(lambda one: one.release(id_, "")) == code

    assert shell.writes == []
    assert account.auto_scaling.actions[0].is_open


def test_release_refuses_what_waits_at_no_hook(
    shell: Shell, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Auto Scaling would answer with an error that names no instance.
    assert shell.run(lambda one: one.release(ids[0], ""), yes=True) == 3

    assert shell.writes == []
    assert "InService" in capsys.readouterr().err


def test_release_asks_for_the_hook_where_there_are_two(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # The other hook may be another team's, which is not done.
    account.auto_scaling.put_hook(LifecycleHook("backup", GROUP, heartbeat_timeout_seconds=3_600))
    id_ = leaving(account)

    assert shell.run(lambda one: one.release(id_, ""), yes=True) == 1
    assert shell.writes == []
    assert "add --hook" in capsys.readouterr().err

    assert shell.run(lambda one: one.release(id_, "backup"), yes=True) == 0
    assert [call.parameters["LifecycleHookName"] for call in shell.writes] == ["backup"]
    assert f"once {HOOK} is answered too" in capsys.readouterr().out


def test_release_says_that_a_cluster_was_not_read(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # "Cuts no task" would be a lie.
    id_ = leaving(account)
    shell.refuse("ListTasks")
    shell.typed = ""

    assert shell.run(lambda one: one.release(id_, "")) == 1

    assert shell.writes == []
    assert "? Not read: cluster payments" in capsys.readouterr().out


# -- retained


def retained(account: Aws) -> str:
    id_ = leaving(account)
    account.auto_scaling.lifecycle.end(account.auto_scaling.actions[-1], "ABANDON", "completed")
    return id_


def test_retained_lists_what_an_abandon_has_kept(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    # It is billed until somebody frees it.
    assert shell.run(lambda one: one.retained()) == 0
    assert "No instance is retained." in capsys.readouterr().out
    id_ = retained(account)

    assert shell.run(lambda one: one.retained(), as_json=True) == 0

    row = {"instance": id_, "group": GROUP, "state": "Terminating:Retained"}
    assert json.loads(capsys.readouterr().out) == row
    assert shell.run(lambda one: one.retained()) == 0
    assert f"drainer retained free {id_}" in capsys.readouterr().err


def test_free_terminates_what_is_retained_and_keeps_the_capacity(
    shell: Shell, account: Aws
) -> None:
    id_ = retained(account)
    desired = account.auto_scaling.groups[GROUP].desired

    assert shell.run(lambda one: one.free(id_)) == 0

    [call] = shell.writes
    assert call.operation == "TerminateInstanceInAutoScalingGroup"
    assert shell.asked == [f"Terminate {id_}?"]
    assert account.auto_scaling.groups[GROUP].desired == desired
    account.run_for(10)
    # Its hook runs once more, so that it is drained.
    assert account.auto_scaling.actions[-1].is_open


def test_free_refuses_what_is_in_service(shell: Shell, ids: list[str]) -> None:
    # It would be terminated.
    assert shell.run(lambda one: one.free(ids[0]), yes=True) == 3
    assert shell.writes == []


# -- unprotect


def protected(account: Aws) -> list[str]:
    tasks = [*account.ecs.clusters[CLUSTER].tasks.values()]
    for one in tasks[:2]:
        account.ecs.protect(one, account.now.replace(hour=20))
    return [one.arn.rpartition("/")[2] for one in tasks]


def unprotect(tasks: list[str], service: str = "") -> Callable[[Operate], int]:
    return lambda one: one.unprotect(tasks, service)


def test_unprotect_ends_the_protection_of_what_is_protected(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = protected(account)

    assert shell.run(unprotect(tasks[1:])) == 0

    [call] = shell.writes
    assert call.parameters["tasks"] == [tasks[1]]
    assert "protected until" in capsys.readouterr().out
    assert not any(
        one.is_protected(account.now)
        for one in account.ecs.clusters[CLUSTER].tasks.values()
        if one.arn.endswith(tasks[1])
    )


def test_unprotect_of_a_service_finds_its_tasks(shell: Shell, account: Aws) -> None:
    tasks = protected(account)

    assert shell.run(unprotect([], "web"), cluster=CLUSTER) == 0

    [call] = shell.writes
    assert sorted(call.parameters["tasks"]) == sorted(tasks[:2])
    assert shell.asked == ["End the protection of 2 tasks?"]


@pytest.mark.parametrize(
    ("tasks", "service", "code"),
    [([], "", 2), (["x" * 32], "web", 2), ([], "web", 2), (["$$"], "", 2), (["0" * 32], "", 3)],
)
def test_unprotect_says_what_was_typed_wrongly(
    shell: Shell, tasks: list[str], service: str, code: int
) -> None:
    assert shell.run(unprotect(tasks, service), yes=True) == code
    assert shell.writes == []


def test_a_job_cannot_be_unprotected(
    shell: Shell, account: Aws, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    job = account.ecs.run_standalone(CLUSTER, ids[0], seconds=600)
    account.run_for(30)

    assert shell.run(unprotect([job.arn.rpartition("/")[2]]), yes=True) == 1

    assert shell.writes == []
    assert "TASK_NOT_VALID" in capsys.readouterr().err


# -- what holds for all of them


@pytest.fixture
def commands(account: Aws, ids: list[str]) -> dict[str, tuple[Any, str]]:
    """Each command that writes, with its write."""
    kept = retained(account)
    account.run_for(120)
    waiting = leaving(account)
    tasks = protected(account)
    active = next(one for one in ids if one not in (kept, waiting))
    other = next(one for one in ids if one not in {kept, waiting, active})
    account.ecs.set_status(registration(account, other), "DRAINING")
    return {
        "drain": (drain([active]), "UpdateContainerInstancesState"),
        "undrain": (lambda one: one.undrain([other]), "UpdateContainerInstancesState"),
        "release": (lambda one: one.release(waiting, ""), "CompleteLifecycleAction"),
        "free": (lambda one: one.free(kept), "TerminateInstanceInAutoScalingGroup"),
        "unprotect": (unprotect(tasks[:1]), "UpdateTaskProtection"),
    }


Commands = dict[str, tuple[Any, str]]
NAMES = ("drain", "undrain", "release", "free", "unprotect")
ASKING = ("release", "free", "unprotect")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_shows_the_write_and_makes_none(
    shell: Shell,
    commands: Commands,
    name: str,
    capsys: pytest.CaptureFixture[str],
    *,
    as_json: bool,
) -> None:
    act, operation = commands[name]
    shell.typed = None

    assert shell.run(act, dry_run=True, as_json=as_json) == 0

    assert shell.writes == []
    said = capsys.readouterr().out
    if as_json:
        assert operation in json.loads(said.splitlines()[0])["call"]
    else:
        hyphens = "".join(f"-{c.lower()}" if c.isupper() else c for c in operation)[1:]
        assert hyphens in said
        assert "no changes made" in said


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_is_refused_is_shown_and_exits_with_1(
    shell: Shell,
    commands: Commands,
    name: str,
    *,
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A script would go on and terminate what is not drained.
    act, operation = commands[name]
    shell.refuse(operation, code)

    assert shell.run(act, yes=True) == 1

    assert f"{operation}: {code}" in capsys.readouterr().err


@pytest.mark.parametrize(("typed", "code"), [("no", 1), ("", 1), (None, 2)])
@pytest.mark.parametrize("name", ASKING)
def test_what_can_cut_a_task_is_not_done_without_a_yes(
    shell: Shell, commands: Commands, name: str, *, typed: str | None, code: int
) -> None:
    act, _ = commands[name]
    shell.typed = typed

    assert shell.run(act) == code
    assert shell.writes == []


@pytest.mark.parametrize("name", NAMES)
def test_json_is_one_object_for_each_thing_that_was_changed(
    shell: Shell, commands: Commands, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    act, _ = commands[name]

    assert shell.run(act, yes=True, as_json=True) == 0

    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["done"]
    assert {"instance", "task"} & set(row)


@pytest.mark.parametrize("name", ["drain", "undrain", "release", "free"])
@pytest.mark.parametrize(
    ("operation", "error", "code"),
    [
        ("DescribeAutoScalingInstances", "Throttling", 5),
        ("DescribeAutoScalingInstances", "AccessDenied", 4),
        ("ListClusters", "AccessDeniedException", 4),
    ],
)
def test_what_could_not_be_read_is_not_acted_on(
    shell: Shell, commands: Commands, name: str, *, operation: str, error: str, code: int
) -> None:
    # It could be in service, or wait at a hook.
    act, _ = commands[name]
    shell.refuse(operation, error)

    assert shell.run(act, yes=True) == code
    assert shell.writes == []


@pytest.mark.parametrize("act", [drain([UNKNOWN]), lambda one: one.undrain([UNKNOWN])])
def test_an_instance_that_is_in_no_cluster_is_not_found(
    shell: Shell, act: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run(act) == 3
    assert f"{UNKNOWN} is in none of 1 cluster" in capsys.readouterr().err


def test_one_that_is_not_found_keeps_the_others_unchanged(shell: Shell, ids: list[str]) -> None:
    # A typo in the third of ten would leave a half-made change.
    assert shell.run(drain([ids[0], UNKNOWN])) == 3
    assert shell.writes == []


@pytest.mark.parametrize("act", [drain, lambda ids: lambda one: one.undrain(ids)])
def test_one_that_may_be_in_a_cluster_that_was_not_read_is_not_said_to_be_nowhere(
    shell: Shell, act: Any
) -> None:
    shell.refuse("ListContainerInstances")
    assert shell.run(act([UNKNOWN])) == 4


@pytest.mark.parametrize("odd", ["", "i-", "web", "i-0 or 1==1", "i-" + "0" * 18])
def test_an_id_that_is_none_is_never_asked_about(shell: Shell, account: Aws, odd: str) -> None:
    # It would end up in a filter expression.
    before = len(account.calls)
    for act in (
        drain([odd]),
        lambda one: one.undrain([odd]),
        lambda one: one.release(odd, ""),
        lambda one: one.free(odd),
        lambda one: one.extend(odd, "30m"),
    ):
        assert shell.run(act) == 2
    assert len(account.calls) == before


@pytest.mark.parametrize("yes", [False, True])
def test_release_in_a_cluster_without_the_instance_claims_nothing_of_its_tasks(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str], *, yes: bool
) -> None:
    # "Cuts no task" was said and no question asked: a typo in --cluster cut what runs elsewhere.
    id_ = leaving(account)
    account.auto_scaling.create_group("batch-asg", cluster="batch", desired=0)
    shell.typed = ""

    code = shell.run(lambda one: one.release(id_, ""), cluster="batch", yes=yes)

    assert "? Not read: it is not in cluster batch. It may have more tasks." in (
        capsys.readouterr().out
    )
    assert (code, bool(shell.writes)) == ((0, True) if yes else (1, False))


def test_wait_ends_where_no_further_look_can_succeed(
    shell: Shell, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # A login that ended in the night filled the terminal with one line in 10 s until somebody came.
    slept: list[None] = []

    def denied() -> None:
        slept.append(None)
        assert len(slept) < 3
        shell.refuse("DescribeAutoScalingInstances", "ExpiredTokenException")

    shell.slept = denied

    assert shell.run(drain([ids[0]], wait=True)) == 1

    assert len(slept) == 1
    assert "the drain goes on" in capsys.readouterr().err


def test_a_login_that_has_ended_is_said_as_such(
    shell: Shell, ids: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # "Check your permissions" sent people to IAM for a token of yesterday.
    shell.refuse("ListClusters", "ExpiredTokenException")

    assert shell.run(drain([ids[0]])) == 4
    assert capsys.readouterr().err.startswith("error: the AWS token has expired: log in")


class HalfDescribing:
    """ECS, which describes no task and says that it could not."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        return {"tasks": [], "failures": [{"arn": "task/1", "reason": "INTERNAL"}]}


def test_a_task_that_was_not_described_is_not_gone(
    shell: Shell, account: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # "Releasing it now cuts no task" was said, and the task was cut without a question.
    id_, client = leaving(account), shell.client
    clients = {"ecs": HalfDescribing(client("ecs"))}
    monkeypatch.setattr(shell, "client", lambda name: clients.get(name) or client(name))
    shell.typed = ""

    assert shell.run(lambda one: one.release(id_, "")) == 1

    assert shell.writes == []
    assert "? Not read: cluster payments: task/1: INTERNAL" in capsys.readouterr().out
