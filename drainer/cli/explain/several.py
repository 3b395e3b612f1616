"""
Explains each draining instance of an Auto Scaling group or a cluster: the first line of each.

Finding them takes one read for each cluster, two for each cluster with drains, and one for each
group. Each instance is then read as if it were asked for alone, within a limit for all of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from drainer.cli.account.refusals import EXIT_NOT_FOUND, refused
from drainer.cli.account.screen import counted
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, EXIT_USAGE, code_of, fail
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.judge import DRAINING
from drainer.cli.explain.read_cluster import ClusterReader
from drainer.cli.explain.read_group import SERVICE, read_activities, terminating_since
from drainer.cli.explain.read_stack import open_records, read_resources
from drainer.cli.explain.reader import (
    ARN_PART,
    CLUSTERS_MAX,
    NotFoundError,
    clusters,
    explainable,
)
from drainer.cli.explain.reads import READS_MAX, Reads
from drainer.cli.explain.screen import COLOURS, DIM, YELLOW, as_json
from drainer.cli.explain.show import explained, show
from drainer.fields import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, tzinfo

    from rich.console import Console

    from drainer.cli.explain.facts import ContainerInstance
    from drainer.cli.explain.screen import Explanation

# Of how many instances the causes are read. An instance takes 10 to 40 reads, and ECS lets an
# account read 20 times a second, which the drains of an incident need as well.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html
EXPLAINED_MAX = 20
READS_TOGETHER_MAX = 1_000
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html
INSTANCES_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Found:
    """What a name stands for, and what drains there, the longest-waiting first."""

    what: str
    instances: tuple[ContainerInstance, ...] = ()
    is_cluster: bool = False


def show_any(
    subject: str,
    *,
    cluster: str | None,
    stack: str,
    cause: Cause | None,
    json_wanted: bool,
    client: Callable[[str], Any],
    now: datetime,
    console: Console,
    zone: tzinfo | None = None,
    sleep: Callable[[float], None] | None = None,
) -> int:
    """
    Explain an instance, or each draining instance of a group or a cluster; return the exit code.

    Args:
        subject: The EC2 instance's id, the container instance's ARN, the name of an Auto Scaling
            group, or a cluster's name or ARN. A group comes before a cluster of the same name.
        cluster: The only cluster to search; None for all.
        stack: The name of the drainer's stack.
        cause: Which of several causes of one instance to show in detail.
        json_wanted: Whether to print one JSON object for each instance.
        client: Returns boto3's client for a service's name.
        now: The present instant.
        console: Where it is shown.
        zone: In which times are shown; None for the machine's.
        sleep: Waits between the reads of many instances; None: it does not wait.
    """
    if ARN_PART in subject or PATTERNS["EC2InstanceId"].fullmatch(subject):
        return show(
            subject,
            cluster=cluster,
            stack=stack,
            cause=cause,
            json_wanted=json_wanted,
            client=client,
            now=now,
            console=console,
            zone=zone,
        )
    if cause:
        return fail("--cause is for one instance", "name an instance", code=EXIT_USAGE)
    reads = Reads(client, sleep=sleep)
    found = _find(reads, subject, cluster)
    if found is None:
        # Where the groups or the clusters could not be read, it may be one of them.
        if reads.errors:
            return refused(reads.errors[-1])
        said = f"no instance, group or cluster is called {subject!r}"
        return fail(said, "check the name and --region", code=EXIT_NOT_FOUND)
    if cluster and found.is_cluster:
        return fail(f"{subject} is a cluster itself", "leave out --cluster", code=EXIT_USAGE)
    ordered = _longest_first(reads, found.instances, stack, now)
    shown, unread = 0, False
    for made in _explanations(reads, ordered, stack, now, zone):
        shown += 1
        unread = unread or made.verdict.main.cause == Cause.UNREAD
        _print(made, console, json_wanted=json_wanted)
    code = EXIT_FAILED if unread or reads.errors else EXIT_OK
    if not json_wanted:
        _print_rest(found, reads, len(ordered) - shown, console)
    if not ordered and code == EXIT_OK:
        return fail(f"{found.what} has no draining instance", code=EXIT_NOT_FOUND)
    return code


def _explanations(
    reads: Reads,
    instances: Sequence[ContainerInstance],
    stack: str,
    now: datetime,
    zone: tzinfo | None,
) -> Iterator[Explanation]:
    """Yield the explanations of the first instances, each of which may take READS_MAX."""
    for one in instances[:EXPLAINED_MAX]:
        if reads.total + READS_MAX > READS_TOGETHER_MAX:
            return
        name = one.ec2_instance_id or one.arn
        try:
            with reads.another() as own:
                facts = explainable(own, name, one.cluster, stack, now)
        except NotFoundError as error:
            # Where all was read, it has gone meanwhile.
            if error.unread:
                reads.missed(name, code_of(error.unread))
                reads.errors.append(error.unread)
            continue
        yield explained(facts, zone)


def _find(reads: Reads, name: str, cluster: str | None) -> Found | None:
    answer = reads.ask(SERVICE, "describe_auto_scaling_groups", AutoScalingGroupNames=[name])
    groups = (answer or {}).get("AutoScalingGroups", ())
    if groups:
        members = {one["InstanceId"] for one in groups[0].get("Instances", ())}
        names = [cluster] if cluster else clusters(reads)
        if len(names) > CLUSTERS_MAX:
            why = f"only {CLUSTERS_MAX} of {len(names)} clusters were searched"
            reads.missed("ListClusters", why)
        there = [one for place in names[:CLUSTERS_MAX] for one in _draining(reads, place)]
        return Found(f"group {name}", tuple(o for o in there if o.ec2_instance_id in members))
    short = name.rpartition("/")[2]
    if short not in clusters(reads):
        return None
    return Found(f"cluster {short}", tuple(_draining(reads, short)), is_cluster=True)


def _draining(reads: Reads, cluster: str) -> Sequence[ContainerInstance]:
    found = ClusterReader(reads, cluster).instances(DRAINING)
    if found is None:
        reads.missed(f"cluster {cluster}", "its draining instances are not shown")
    return found or ()


def _longest_first(
    reads: Reads, instances: Sequence[ContainerInstance], stack: str, now: datetime
) -> list[ContainerInstance]:
    """Return the instances by since when they drain; those of which nothing says so come last."""
    since: dict[str, datetime] = {}
    resources = read_resources(reads, stack) if instances else None
    for name, record in (open_records(reads, resources) if resources else {}).items():
        since[name] = record.drain.draining_since or record.drain.started_at
    unknown = [one.ec2_instance_id for one in instances if one.ec2_instance_id not in since]
    answers = reads.batches(
        SERVICE,
        "describe_auto_scaling_instances",
        "AutoScalingInstances",
        by="InstanceIds",
        values=[one for one in unknown if one],
        size=INSTANCES_AT_ONCE,
    )
    members = {one["InstanceId"]: one["AutoScalingGroupName"] for one in answers or ()}
    activities = {name: read_activities(reads, name) for name in dict.fromkeys(members.values())}
    for name, group in members.items():
        if began := terminating_since(activities[group], name):
            since[name] = began
    return sorted(
        instances, key=lambda one: (since.get(one.ec2_instance_id, now), one.ec2_instance_id)
    )


def _print(one: Explanation, console: Console, *, json_wanted: bool) -> None:
    if json_wanted:
        print(json.dumps(as_json(one)), flush=True)
    else:
        colour = COLOURS[one.verdict.main.pace]
        console.print(Text(one.first_line, style=colour), soft_wrap=True)


def _print_rest(found: Found, reads: Reads, left: int, console: Console) -> None:
    for missing in reads.unread:
        text = f"? not read: {missing.what}: {missing.why}"
        console.print(Text(text, style=YELLOW), soft_wrap=True)
    if not found.instances:
        return
    number = counted(len(found.instances), "instance")
    said = [f"{number} of {found.what}, longest first. More: drainer explain INSTANCE"]
    said += [f"{left} not explained: drainer status"] if left else []
    for text in said:
        console.print(Text(text, style=DIM), soft_wrap=True)
