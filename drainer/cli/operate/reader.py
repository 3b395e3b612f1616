"""
Reads what a command needs to know before it acts. It changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from drainer.aws.auto_scaling import AutoScalingGateway
from drainer.aws.calls import ask, chunks, pages, understood
from drainer.aws.ecs import DESCRIBE_MAX, EcsGateway, only_missing
from drainer.aws.records import RecordTable
from drainer.cli.account import reader as reading
from drainer.cli.account.stack import parameters
from drainer.cli.operate.facts import Machine, Registration, SeenTask, Table
from drainer.drain import record_codec
from drainer.drain.record import DrainRecord
from drainer.errors import DrainerError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# The table's name in infra/drainer.yaml.
TABLE = "Records"
PASS_INTERVAL = "PassIntervalSeconds"  # noqa: S105 - the name of a parameter
GROUPS_TOGETHER = 50
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_GetTaskProtection.html
PROTECTIONS_MAX = 100


class Reader:
    """
    Reads ECS, Auto Scaling and the drainer's table.

    Args:
        client: Makes a service's client.
        clusters: The clusters to search; none: all of the account.
        stack: The name of the drainer's stack.
    """

    def __init__(
        self, client: Callable[[str], Any], clusters: Sequence[str] = (), stack: str = ""
    ) -> None:
        self._source = client
        self._client = reading.Reader(client).client
        self._clusters = clusters
        self._stack = stack

    @property
    def ecs(self) -> EcsGateway:
        """What the drainer reads ECS with."""
        return EcsGateway(self._client("ecs"))

    @property
    def auto_scaling(self) -> AutoScalingGateway:
        """What the drainer reads Auto Scaling with."""
        return AutoScalingGateway(self._client("autoscaling"))

    @property
    def has_cluster(self) -> bool:
        """Whether the user names a cluster."""
        return bool(self._clusters)

    def clusters(self) -> list[str]:
        """Return the clusters to search; raises a DrainerError."""
        return list(self._clusters) or self.ecs.clusters()

    def within(self, clusters: Iterable[str]) -> Reader:
        """Return one that searches these clusters only."""
        return Reader(self._source, list(dict.fromkeys(clusters)), self._stack)

    def caller(self) -> str:
        """Return the caller's ARN; raises a DrainerError."""
        return str(ask(self._client("sts").get_caller_identity)["Arn"])

    def machines(self, ids: Sequence[str], *, tasks: bool = True) -> list[Machine]:
        """
        Return what ECS and Auto Scaling say of EC2 instances, in the same order.

        What could not be read is said at each of them.

        Raises:
            DrainerError: Neither the clusters nor the groups could be read.
        """
        clusters, unread = self.clusters(), list[str]()
        found: list[tuple[str, Registration]] = []
        for cluster in clusters:
            try:
                found += self._registrations(cluster, ids, tasks=tasks)
            except DrainerError as error:
                unread.append(f"cluster {cluster.rpartition('/')[2]}: {error}")
        states = self.auto_scaling.lifecycle_states(ids)
        return [
            Machine(
                one,
                tuple(registration for id_, registration in found if id_ == one),
                *states.get(one, ("", "")),
                clusters=len(clusters),
                unread=tuple(unread),
            )
            for one in ids
        ]

    def machine(self, id_: str) -> Machine:
        """Return one EC2 instance; where it is not in the clusters that were named is said."""
        [machine] = self.machines([id_])
        if self.has_cluster and not machine.registrations and not machine.unread:
            unread = tuple(f"it is not in cluster {one}" for one in self._clusters)
            return replace(machine, unread=unread)
        return machine

    def states(self, ids: Sequence[str]) -> list[Machine]:
        """Return what Auto Scaling alone says of EC2 instances; raises a DrainerError."""
        states = self.auto_scaling.lifecycle_states(ids)
        return [Machine(one, (), *states.get(one, ("", ""))) for one in ids]

    def with_hooks(self, machine: Machine) -> Machine:
        """Return an instance with the terminating hooks of its group; raises a DrainerError."""
        if not machine.group:
            return machine
        hooks = self.auto_scaling.lifecycle_hooks(machine.group).values()
        return replace(machine, hooks=tuple(one for one in hooks if one.terminating))

    def with_records(self, machine: Machine) -> Machine:
        """
        Return an instance with the drainer's records of it.

        Raises:
            LookupError: There is no such stack, or it has no table.
            DrainerError: The table or a record could not be read.
        """
        table = RecordTable(self._client, self.table_name(), record_codec)
        rows = table.of_instance([machine.id])[machine.id]
        for row in rows:
            if isinstance(row, DrainerError):
                raise row
        return replace(machine, records=tuple(row for row in rows if isinstance(row, DrainRecord)))

    def table_name(self) -> str:
        """Return the name of the stack's table; raises a LookupError or a DrainerError."""
        detail = self._of_stack("describe_stack_resource", LogicalResourceId=TABLE)
        return str(detail["StackResourceDetail"]["PhysicalResourceId"])

    def table(self) -> Table:
        """Return the stack's table; raises a LookupError or a DrainerError."""
        stack = self._of_stack("describe_stacks")["Stacks"][0]
        values = parameters(stack)
        if PASS_INTERVAL not in values:
            raise LookupError(f"stack {self._stack!r} has no parameter {PASS_INTERVAL}")
        return Table(self.table_name(), int(values[PASS_INTERVAL]))

    def _of_stack(self, method: str, **more: Any) -> Any:
        call = getattr(self._client("cloudformation"), method)
        try:
            return ask(call, StackName=self._stack, **more)
        except RefusedError as error:
            # "If the stack doesn't exist, a ValidationError is returned."
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html
            raise LookupError(f"no stack {self._stack!r} with the drainer's table") from error

    def retained_candidates(self) -> tuple[dict[str, tuple[str, str]], list[str]]:
        """
        Return group and lifecycle state of all instances of all groups, and what was not read.

        Raises:
            DrainerError: The groups could not be listed.
        """
        found: dict[str, tuple[str, str]] = {}
        unread: list[str] = []
        for names in chunks(self.auto_scaling.group_names(), GROUPS_TOGETHER):
            states, pools = self.auto_scaling.states_in_groups(names)
            found |= states
            for pool in pools:
                try:
                    found |= self.auto_scaling.states_in_warm_pool(pool)
                except DrainerError as error:
                    unread.append(f"warm pool of {pool}: {error}")
        return found, unread

    @understood
    def _registrations(
        self, cluster: str, ids: Sequence[str], *, tasks: bool
    ) -> list[tuple[str, Registration]]:
        found = []
        for arns in chunks(self.ecs.find(cluster, ids), DESCRIBE_MAX):
            describe = self._client("ecs").describe_container_instances
            answer = ask(describe, cluster=cluster, containerInstances=list(arns))
            only_missing(answer)
            for row in answer["containerInstances"]:
                arn = row["containerInstanceArn"]
                attributes = {
                    one["name"]: one.get("value", "") for one in row.get("attributes", ())
                }
                registration = Registration(
                    cluster,
                    arn,
                    row["status"],
                    row.get("agentConnected", False),
                    attributes,
                    tuple(self.tasks_on(cluster, arn)) if tasks else (),
                )
                found.append((row.get("ec2InstanceId", ""), registration))
        return found

    @understood
    def tasks_on(self, cluster: str, arn: str) -> list[SeenTask]:
        """Return the tasks of a container instance, those that are stopping too."""
        ids: list[str] = []
        for status in ("RUNNING", "STOPPED"):
            ids += self.ecs.task_ids(cluster, arn, desired_status=status)
        return self.tasks(cluster, dict.fromkeys(ids))

    @understood
    def tasks(self, cluster: str, ids: Iterable[str]) -> list[SeenTask]:
        """Return the tasks that ECS still knows."""
        found = []
        for some in chunks(list(ids), DESCRIBE_MAX):
            answer = ask(self._client("ecs").describe_tasks, cluster=cluster, tasks=list(some))
            only_missing(answer)
            found += [
                SeenTask(
                    row["taskArn"].rpartition("/")[2],
                    row.get("group", ""),
                    row["lastStatus"],
                    row.get("startedAt"),
                )
                for row in answer["tasks"]
            ]
        return found

    @understood
    def protections(self, cluster: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return what ECS says of the protection of tasks, and of each why it says none."""
        found = []
        for some in chunks(ids, PROTECTIONS_MAX):
            answer = ask(self._client("ecs").get_task_protection, cluster=cluster, tasks=list(some))
            found += [*answer["protectedTasks"], *answer.get("failures", ())]
        return found

    @understood
    def tasks_of_service(self, cluster: str, service: str) -> list[str]:
        """Return the ids of a service's tasks that ECS wants to run."""
        listed = self._client("ecs").list_tasks
        arns = pages(listed, "taskArns", "nextToken", cluster=cluster, serviceName=service)
        return [arn.rpartition("/")[2] for arn in arns]
