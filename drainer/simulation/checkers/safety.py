"""
Judge what the function does, apart from it: by the account's true state and what was promised.

Nothing of the drainer's own arithmetic is used here; the numbers below are its documented bounds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.simulation.checkers.earlier_registrations import EarlierRegistrations
from drainer.simulation.checkers.ecs_changes import STAMP_SECONDS, EcsChanges
from drainer.simulation.checkers.evidence import Evidence
from drainer.simulation.checkers.violation import Violation, deadline
from drainer.simulation.services.ecs.answer_lag import ANSWER_LAG_SECONDS_MAX
from drainer.simulation.services.ecs.operations import PAGE_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction
    from drainer.simulation.services.ecs.model import Task

# Each duplicate of a message that comes after the end may ask once more, and so may each sweep:
# while the instance waits for another hook there is no other way to know.
ASKED_AFTER_THE_END_MAX = 12
ASKED_EVERY_SECONDS = 150.0
# An outage of the table leaves many chains, and each that its record does not name hears it for
# itself: where its group is gone, by two looks that agree.
ASKED_BY_A_CHAIN = 2
# Ten of them fit into one PublishBatch.
MESSAGE_BYTES_MAX = 26_000
# Looks at what a batch has in common, and looks and acts for each drain in it.
CALLS_IN_COMMON = 40
CALLS_PER_DRAIN = 12
# A page of stopped tasks is listed, and described.
CALLS_PER_PAGE = 2
# A registration that is left over is set DRAINING, listed twice and described.
CALLS_PER_REGISTRATION = 5
# A record that an index lists is read with its instance's others, and written if it is over.
CALLS_PER_LISTED = 2
# What a pass may take beside the interval: see `_deadline`.
GAP_SECONDS = 60.0


@dataclass(eq=False)
class Safety:
    """
    Watches every call of the function.

    Attributes:
        ceased_at: when faults cease; until then the function need not know that it is over.
        chains: how many messages about an instance at a hook be re-invoked.
        spent: for how long the invocation has gone on, in seconds; the account's clock stands.
        hook_unread: whether a look at a group's hooks has failed in this invocation.
        violations: what was found.
        answered: how many lifecycle actions the function answered.
        drained: the container instances that the function set DRAINING.
        hooks_read: when the hooks of each group were read.
        registrations: which container instances were described, and which tasks that excuses.
    """

    account: Aws
    workload: Workload
    topic_arn: str
    started_at: datetime
    ceased_at: datetime | None = None
    chains: Callable[[str, str], int] = lambda *_: 0
    spent: Callable[[], float] = lambda: 0.0
    hook_unread: bool = False
    violations: list[Violation] = field(default_factory=list)
    answered: int = 0
    drained: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    hooks_read: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    _asked_after_the_end: dict[str, list[datetime]] = field(default_factory=dict)
    _chains_left: dict[str, int] = field(default_factory=dict)
    _seen_free: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    _seen_back: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    _calls_of_invocation: int = 0
    _open_at_first: int = 0
    _listed: set[str] = field(default_factory=set)
    _evidence: Evidence = field(init=False)
    registrations: EarlierRegistrations = field(init=False)
    _changes: EcsChanges = field(init=False)
    _judges: dict[str, Callable[[Mapping[str, Any]], None]] = field(init=False)

    def __post_init__(self) -> None:
        """Begin to watch what answers rest upon."""
        self._evidence = Evidence(self.account, self.workload.pass_interval_seconds)
        self.registrations = EarlierRegistrations(self.account, self.workload)
        self._changes = EcsChanges(
            self.account, self.workload, self.violated, self._seen_back, self.drained
        )
        self._judges = {
            "CompleteLifecycleAction": self._complete,
            "RecordLifecycleActionHeartbeat": self._heartbeat,
            "UpdateContainerInstancesState": self._changes.update,
            "DeregisterContainerInstance": self._changes.deregister,
            "StopTask": self._changes.stop,
            "PublishBatch": self._publish,
        }

    def violated(self, rule: str, sentence: str) -> None:
        """Note a broken promise."""
        seconds = (self.account.now - self.started_at).total_seconds()
        self.violations.append(Violation(seconds, rule, sentence))

    def invocation_begins(self) -> None:
        """Begin to count the calls of an invocation."""
        self._calls_of_invocation, self._listed = 0, set()
        self._open_at_first = len(self.account.auto_scaling.lifecycle.open)
        self.hook_unread = False

    @contextmanager
    def another_invocation(self) -> Iterator[None]:
        """Judge an invocation that runs while another one is under way, for itself."""
        calls = self._calls_of_invocation, self._open_at_first, self._listed
        unread = self.hook_unread
        try:
            yield
        finally:
            self._calls_of_invocation, self._open_at_first, self._listed = calls
            self.hook_unread = unread

    def invocation_ends(self, records: int) -> None:
        """Judge how many calls an invocation made."""
        # What it has answered is no longer open, and has cost calls all the same.
        drains = max(records, self._open_at_first, len(self.account.auto_scaling.lifecycle.open))
        most = CALLS_IN_COMMON + CALLS_PER_DRAIN * drains
        if self._calls_of_invocation > most:
            # A sweep looks at what it finds, without a record.
            most += self._calls_for_crowds() * max(1, drains)
            most += CALLS_PER_LISTED * len(self._listed)
        if self._calls_of_invocation > most:
            self.violated(
                "bounds", f"{self._calls_of_invocation} calls for {records} records, most: {most}"
            )

    def _calls_for_crowds(self) -> int:
        """Count the calls for what no ordinary drain has: crowds of tasks, and left-overs."""
        instances = self.account.ecs.container_instances
        pages = sum(1 + len(one.long_stopped) // PAGE_MAX for one in instances if one.long_stopped)
        left_over = sum(one.agent_gone for one in instances)
        # Whatever is in no cluster that is named is searched for in all of them.
        clusters = len(self.account.ecs.clusters)
        return CALLS_PER_PAGE * pages + CALLS_PER_REGISTRATION * left_over + clusters

    def before(self, operation: str, parameters: Mapping[str, Any]) -> None:
        """Judge a call that will be performed, by the state before it."""
        self._calls_of_invocation += 1
        self.calls[operation] += 1
        judge = self._judges.get(operation)
        if judge is not None:
            judge(parameters)

    # Answers and heartbeats

    def _complete(self, parameters: Mapping[str, Any]) -> None:
        action = self._action(parameters)
        if action is None:
            return
        promise = self.workload.promise(action)
        now = self.account.now + timedelta(seconds=self.spent())
        self.answered += 1
        result = parameters["LifecycleActionResult"]
        instance = action.ec2_instance_id
        if now + timedelta(seconds=STAMP_SECONDS) >= self._deadline(action, parameters):
            left = self.blocking(action)
            if left and result != promise.deadline_result:
                self.violated("safety", f"{instance} answered {result} at its deadline")
            return
        left = self.blocking(action)
        if left:
            names = ", ".join(f"{task.owner} {task.last_status}" for task in left[:5])
            self.violated("safety", f"{instance} answered {result} before its deadline; {names}")
        elif result != "CONTINUE":
            self.violated("safety", f"{instance} answered {result} before its deadline, drained")
        elif self._evidence.is_of_before(action, named="LifecycleActionToken" in parameters):
            self.violated("safety", f"{instance} answered by what was seen before its action began")

    def _heartbeat(self, parameters: Mapping[str, Any]) -> None:
        if not self.hook_unread:  # else it may be ours, and to let it time out would cut tasks
            self._action(parameters)

    def _action(self, parameters: Mapping[str, Any]) -> LifecycleAction | None:
        """Return the open action that is meant, and judge whether it may be touched at all."""
        group, hook = parameters["AutoScalingGroupName"], parameters["LifecycleHookName"]
        promise = self.workload.promises.get((group, hook))
        instance_id = parameters.get("InstanceId")
        token = parameters.get("LifecycleActionToken")
        if promise is None or not promise.ours:
            self.violated("safety", f"hook {hook!r} of {group!r} is not ours to touch")
            return None
        if not instance_id:
            self.violated("safety", f"no instance is named to hook {hook!r}")
        for action in self.account.auto_scaling.lifecycle.open.values():
            names = action.hook.auto_scaling_group_name, action.hook.name, action.ec2_instance_id
            if names == (group, hook, instance_id) and token in (None, action.token):
                return action
        self._ask_after_the_end(str(instance_id), hook)
        return None

    def _ask_after_the_end(self, ec2_instance_id: str, hook: str) -> None:
        if self.ceased_at is not None and self.account.now < self.ceased_at:
            return
        what = f"{ec2_instance_id} at {hook}"
        if what not in self._chains_left:
            self._chains_left[what] = self.chains(ec2_instance_id, hook)
        asked = self._asked_after_the_end.setdefault(what, [])
        asked.append(self.account.now)
        seconds = (self.account.now - asked[0]).total_seconds()
        most = ASKED_AFTER_THE_END_MAX + seconds / ASKED_EVERY_SECONDS
        most += ASKED_BY_A_CHAIN * self._chains_left[what]
        if len(asked) > most:
            self.violated("bounds", f"{what} is asked about again and again after its end")

    def _deadline(self, action: LifecycleAction, answer: Mapping[str, Any]) -> datetime:
        """
        Return from when on an action may be answered with tasks left.

        A known limit: where the notification is lost of an action that follows another one, and no
        two passes have seen the instance in between, only a token that is not known tells the two
        apart; the second is taken for the first, and has its deadline.
        """
        due_at = deadline(action, self.workload)
        if answer.get("LifecycleActionToken"):
            return due_at
        gap = timedelta(seconds=2 * self.workload.pass_interval_seconds + GAP_SECONDS)
        before = [
            deadline(one, self.workload)
            for one in self.account.auto_scaling.actions
            if one.ec2_instance_id == action.ec2_instance_id
            and one.hook.name == action.hook.name
            and one is not action
            and one.ended_at is not None
            and one.ended_at <= action.started_at
            and (
                action.started_at <= one.ended_at + gap
                or not self._seen_between(one.ended_at, action)
            )
        ]
        return min([due_at, *before])

    def told(
        self, operation: str, parameters: Mapping[str, Any], answer: Mapping[str, Any]
    ) -> None:
        """Note which instances an answer shows not to wait, whose tasks it lists, and records."""
        if operation == "Query" and "IndexName" in parameters:
            self._listed |= {row["instance"]["S"] for row in answer["Items"]}
        if operation == "DescribeLifecycleHooks":
            self.hooks_read[parameters["AutoScalingGroupName"]].append(self.account.now)
        if operation == "ListTasks":
            self._evidence.listed(parameters["containerInstance"])
        if operation == "DescribeContainerInstances":
            self._evidence.described(answer["containerInstances"])
            self.registrations.described(answer["containerInstances"])
        if operation == "DescribeAutoScalingInstances":
            for row in answer["AutoScalingInstances"]:
                if not row["LifecycleState"].endswith(":Wait"):
                    self._seen_free[row["InstanceId"]].append(self.account.now)
                if row["LifecycleState"] == "InService":
                    self._seen_back[row["InstanceId"]].append(self.account.now)

    def _seen_between(self, ended_at: datetime, action: LifecycleAction) -> bool:
        """Whether two looks, as far apart as answers may be old, came before the next action."""
        looks = [
            at
            for at in self._seen_free[action.ec2_instance_id]
            if ended_at <= at <= action.started_at
        ]
        return bool(looks) and looks[-1] - looks[0] >= timedelta(seconds=ANSWER_LAG_SECONDS_MAX)

    def blocking(self, action: LifecycleAction) -> list[Task]:
        """
        Return the tasks that keep an instance, by what was promised of its hook.

        Those on a container instance that no answer of ECS need show yet are not the function's
        fault, nor those that a limit of registrations excuses.
        """
        ignored = self.workload.promise(action).standalone_tasks == "ignore"
        shown_at = self.account.now - timedelta(seconds=ANSWER_LAG_SECONDS_MAX)
        return [
            task
            for task in self.account.ecs.remaining_tasks(action.ec2_instance_id)
            if not (ignored and task.service is None)
            and (task.container_instance.registered_at <= shown_at or not _is_new(task, action))
            and not self.registrations.excuses(task, action)
        ]

    def recorded(self, key: Mapping[str, Any]) -> None:
        """Note that the function has written the record of a drain."""
        self._evidence.recorded(key["instance"]["S"])
        self._changes.recorded(key["instance"]["S"])

    # Messages

    def _publish(self, parameters: Mapping[str, Any]) -> None:
        if parameters["TopicArn"] != self.topic_arn:
            self.violated("safety", f"published to {parameters['TopicArn']}")
        for entry in parameters["PublishBatchRequestEntries"]:
            size = len(entry["Message"].encode())
            if size > MESSAGE_BYTES_MAX:
                self.violated("bounds", f"a message of {size} bytes")


def _is_new(task: Task, action: LifecycleAction) -> bool:
    """Whether a task's container instance was registered while its EC2 instance was leaving."""
    return task.container_instance.registered_at > action.started_at
