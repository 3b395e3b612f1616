"""What the table of records can tell of a drain: whom the checker of returns asks, and when not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.records import RecordTable
from drainer.drain import record_codec
from drainer.drain.conditional_write import Condition, Demand, Outcome, Write
from drainer.drain.model import Drain, LifecycleAction, Place
from drainer.drain.record import DrainRecord, End, key_of
from drainer.simulation.aws import Aws
from drainer.simulation.checkers.memory import Memory
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.model import Instance
    from drainer.simulation.services.ecs.model import ContainerInstanceStatus

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
GROUP, CLUSTER, TABLE = "payments-asg", "payments", "drainer-Records"


@dataclass
class Story:
    """An instance that has met its hook twice, at 100 s and at 1,000 s."""

    account: Aws = field(default_factory=lambda: Aws(now=START))
    failed_at: datetime | None = None
    unrecorded: set[str] = field(default_factory=set)
    clusters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.account.record_tables.create(TABLE)
        scaling = self.account.auto_scaling
        scaling.create_group(GROUP, cluster=CLUSTER, desired=1)
        target = "arn:aws:sns:us-east-1:123456789012:drainer"
        scaling.put_hook(LifecycleHook("drainer", GROUP, notification_target_arn=target))
        [self.instance] = scaling.instances.values()

    def fail(self) -> None:
        """Let a call of the table fail, a minute ago."""
        self.failed_at = self.account.now
        self.account.run_for(60)

    def pass_through(self, at_seconds: float, *, drained: bool = True) -> None:
        """Let the instance leave at an instant, perhaps drained, and come back."""
        self.account.advance_to(START + timedelta(seconds=at_seconds))
        self.account.auto_scaling.root_volumes.replace(self.instance, forgets_agent=False)
        self.account.run_for(10)
        if drained:
            self.set("ACTIVE")
            self.set("DRAINING")
        for action in [*self.instance.actions]:
            self.account.auto_scaling.lifecycle.end(action, "CONTINUE", "completed")
        self.account.run_for(300)
        assert self.instance.lifecycle_state == "InService"

    def set(self, status: ContainerInstanceStatus) -> None:
        container_instance = self.account.ecs.container_instance(self.instance.ec2_instance_id)
        assert container_instance is not None
        self.arn = container_instance.arn
        self.account.ecs.set_status(container_instance, status)

    def write(
        self, number: int, *, token: bool = True, ended: bool = True, **of_drain: Any
    ) -> None:
        """Write the record of the action of this number, as the drainer does."""
        met, now = self.instance.past[number], self.account.now
        name = met.token if token else ""
        action = LifecycleAction(GROUP, "drainer", self.instance.ec2_instance_id, name)
        began_at = met.started_at + timedelta(seconds=0 if token else 5)
        record = DrainRecord(
            key_of(action),
            1,
            1,
            "pass",
            Drain(action, began_at, **{"last_heartbeat_at": began_at, **of_drain}),
            written_at=now,
        )
        if ended:
            record = replace(record, end=End.OVER, ended_at=now)
        table = RecordTable(self.account.client, TABLE, record_codec)
        (written,) = table.write([Write(record, Condition(Demand.ABSENT))])
        assert written.outcome == Outcome.DONE

    @property
    def tells(self) -> bool:
        memory = Memory(self.account, lambda: self.failed_at, self.unrecorded, self.clusters)
        return memory.tells(self.arn, self.instance.past)


@pytest.fixture
def story() -> Story:
    return Story()


def met_twice(story: Story, *, drained_again: bool = True) -> Instance:
    story.pass_through(100)
    story.pass_through(1_000, drained=drained_again)
    return story.instance


# Excused for whatever is not written, a drainer that never writes would break no promise.
def test_a_record_that_was_not_written_is_no_excuse_while_the_table_answers(story: Story) -> None:
    met_twice(story)
    assert story.tells


def test_a_failure_before_the_drain_is_no_excuse(story: Story) -> None:
    story.fail()
    met_twice(story)
    story.write(0)
    assert story.tells


# Seed 2385: the third drain lay in an outage, and the second one's record says nothing of it.
@pytest.mark.parametrize("token", [True, False])
def test_the_record_of_an_earlier_drain_tells_nothing_of_one_that_lay_in_an_outage(
    story: Story, *, token: bool
) -> None:
    met_twice(story)
    story.fail()
    story.write(0, token=token)
    assert not story.tells


# DRAINING since the first drain, of which there is a record: an outage in the second hides nothing.
def test_what_an_earlier_drain_has_set_draining_is_told_by_its_record(story: Story) -> None:
    met_twice(story, drained_again=False)
    story.fail()
    story.write(0)
    assert story.tells


@pytest.mark.parametrize("token", [True, False])
def test_a_failure_is_no_excuse_where_the_drain_has_its_record(
    story: Story, *, token: bool
) -> None:
    met_twice(story)
    story.fail()
    story.write(1, token=token)
    assert story.tells


def test_the_record_of_a_later_drain_tells_what_it_has_found_draining(story: Story) -> None:
    met_twice(story, drained_again=False)
    story.fail()
    story.write(1)
    assert story.tells


@pytest.mark.parametrize("again", [True, False])
def test_a_table_that_was_deleted_since_tells_nothing(story: Story, *, again: bool) -> None:
    met_twice(story)
    story.account.record_tables.delete(TABLE)
    if again:
        story.account.record_tables.create(TABLE)
    assert not story.tells


# Seeds 319, 1400, 2483 and 3764: the drain is over, and its record may not be ended.
@pytest.mark.parametrize(
    ("ended", "read_only", "tells"),
    [(False, True, False), (True, True, True), (False, False, True)],
    ids=["open for good", "ended before", "left open by a drainer that may write"],
)
def test_an_open_record_is_an_excuse_only_where_nobody_may_end_it(
    story: Story, *, ended: bool, read_only: bool, tells: bool
) -> None:
    met_twice(story)
    story.write(1, ended=ended)
    story.account.record_tables.tables[TABLE].read_only = read_only
    assert story.tells is tells


OTHER_ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/payments/of-before"
BEFORE = START
CONFIRMED = START + timedelta(seconds=2_000)


# What a record says is all that the drainer has, where the pass that set DRAINING could not write:
# that its action was confirmed (seed 8066), of which container instance it is (8674), and of which
# cluster (9695). A drainer that does not use what the record says is not excused.
@pytest.mark.parametrize(
    ("token", "heard_at", "of_drain", "clusters", "tells"),
    [
        (True, BEFORE, {}, (), True),
        (False, BEFORE, {}, (), False),
        (False, CONFIRMED, {}, (), True),
        (True, BEFORE, {"container_instance_arn": OTHER_ARN}, (), False),
        (True, BEFORE, {}, ("no-such-cluster",), False),
        (True, BEFORE, {}, ("no-such-cluster", CLUSTER), True),
        (True, BEFORE, {"cluster": "no-such-cluster"}, (CLUSTER,), False),
        (True, BEFORE, {"cluster": CLUSTER}, ("no-such-cluster",), True),
    ],
)
@pytest.mark.parametrize("unrecorded", [True, False])
def test_a_record_tells_what_its_passes_knew_where_the_one_that_drained_could_not_write(
    story: Story,
    of_drain: dict[str, Any],
    heard_at: datetime,
    clusters: tuple[str, ...],
    *,
    token: bool,
    tells: bool,
    unrecorded: bool,
) -> None:
    met_twice(story)
    story.fail()
    story.clusters = clusters
    story.write(1, token=token, last_heartbeat_at=heard_at, **of_drain)
    story.unrecorded = {story.arn} if unrecorded else set()

    # With a table that answered in that invocation, its record has all of this.
    assert story.tells is (tells or not unrecorded)


@pytest.mark.parametrize("others", [False, True])
def test_a_record_that_names_the_container_instance_among_others_tells_of_it(
    story: Story, *, others: bool
) -> None:
    met_twice(story)
    own, other = Place(CLUSTER, story.arn), Place(CLUSTER, OTHER_ARN)
    first, more = (other, (own,)) if others else (own, (other,))
    arn = first.container_instance_arn
    story.write(1, cluster=CLUSTER, container_instance_arn=arn, others=more)
    story.unrecorded = {story.arn}

    assert story.tells
