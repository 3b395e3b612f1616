"""
CloudFormation at work on stacks that guard a Spot Fleet: updates that go on, and that go back.

Each story is an operation as AWS performs it. A rollback sends a second Update with new and old
properties exchanged, also where the resource's own update has FAILED; if that FAILED too, the stack
is at UPDATE_ROLLBACK_FAILED. What is replaced, or was added, is deleted in the clean-up. A Create
that was cancelled or never answered gets a Delete with a physical id that CloudFormation made up.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-update.html
https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/1814
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from drainer.simulation.services.cloudformation.stack_model import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from drainer.simulation.aws import Aws
    from drainer.simulation.services.cloudformation.custom_resource import CustomResourceRequest
    from drainer.simulation.services.cloudformation.stack_model import RequestType
    from drainer.simulation.services.ec2.spot_fleet_model import Fleet

    Story = Generator["CustomResourceRequest | float", None, None]

DRAIN, TARGET, FLEET_TYPE = "Drain", "Fleet", "AWS::EC2::SpotFleet"
# How soon CloudFormation sees an answer.
POLL_SECONDS = 2.0
# "CloudFormation makes three attempts at deleting the old resource" in a clean-up.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-monitor-stack.html
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """
    A request.

    Attributes:
        fleet: what it names.
        goes: whether the fleet goes after it.
        cancelled: whether CloudFormation no longer waits for its answer.
    """

    request: CustomResourceRequest
    fleet: Fleet
    goes: bool
    cancelled: bool = False


@dataclass(eq=False)
class StackOperations:
    """
    One stack, and what is done to it.

    Attributes:
        name: of the stack.
        properties: returns the guard's, for a fleet.
        deliver: sends a request on its way.
        asked: every request.
        stays: the fleets that must serve when all is over.
        foreign: whether the fleet is not one of the stack's own resources.
        expires: whether the fleet that an update goes back to is no longer known.
    """

    account: Aws
    name: str
    properties: Callable[[Fleet], Mapping[str, Any]]
    deliver: Callable[[CustomResourceRequest], None]
    foreign: bool = False
    expires: bool = False
    asked: list[Asked] = field(default_factory=list)
    stays: list[Fleet] = field(default_factory=list)

    def run(self, story: Story) -> None:
        """Go on with a story, whenever what it waits for has come."""
        waited_for = next(story, None)
        if isinstance(waited_for, float):
            self.account.after(waited_for, lambda: self.run(story))
        elif waited_for is not None:
            self._wait(story, waited_for)

    def _wait(self, story: Story, request: CustomResourceRequest) -> None:
        if request.is_open:
            self.account.after(POLL_SECONDS, lambda: self._wait(story, request))
        else:
            self.run(story)

    # The stories

    def adopt(self, fleet: Fleet) -> Story:
        """Guard a fleet that serves; another resource fails, and the guard is deleted."""
        self.stays.append(fleet)
        self._target(fleet)
        yield 1.0
        self._begin("UPDATE_IN_PROGRESS")
        create = self._ask("Create", fleet)
        yield create
        self._phase("UPDATE_ROLLBACK_IN_PROGRESS")
        yield 5.0
        self._phase("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        yield from self._delete(fleet, self._known_as(create), goes=False)
        self._phase("UPDATE_ROLLBACK_COMPLETE")

    def cancel(self, fleet: Fleet, after_seconds: float) -> Story:
        """Guard a fleet that serves; another resource fails while that is done."""
        self.stays.append(fleet)
        self._target(fleet)
        yield 1.0
        self._begin("UPDATE_IN_PROGRESS")
        create = self._ask("Create", fleet, cancelled=True)
        yield after_seconds
        self._phase("UPDATE_ROLLBACK_IN_PROGRESS")
        yield 1.0
        self._phase("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        yield from self._delete(fleet, self._known_as(create), goes=False)
        self._phase("UPDATE_ROLLBACK_COMPLETE")

    def fail_to_create(self, fleet: Fleet) -> Story:
        """Create a stack that fails: its own fleet goes with it, a foreign one stays."""
        if self.foreign:
            self.stays.append(fleet)
        self._begin("CREATE_IN_PROGRESS")
        self._target(fleet)
        create = self._ask("Create", fleet)
        yield create
        self._phase("ROLLBACK_IN_PROGRESS")
        yield from self._delete(fleet, self._known_as(create), goes=not self.foreign)
        self._end(fleet)
        self._phase("ROLLBACK_COMPLETE")

    def replace(self, old: Fleet, new: Callable[[], Fleet], *, fails: bool) -> Story:
        """Let another fleet take the place of one, and go back if that fails."""
        self._target(old)
        self._row(DRAIN, old.fleet_id, "CREATE_COMPLETE")
        yield 1.0
        self._begin("UPDATE_IN_PROGRESS")
        fleet = new()
        self._target(fleet)
        update = self._ask("Update", fleet, old.fleet_id, old)
        yield update
        succeeded = _status(update) == "SUCCESS"
        if fails or not succeeded:
            self.stays.append(old)
            yield from self._go_back(old, fleet, self._known_as(update))
            return
        self._phase("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        yield from self._delete(old, old.fleet_id, goes=True, replaced_by=fleet.fleet_id)
        self._end(old)
        self._phase("UPDATE_COMPLETE")

    def change(self, fleet: Fleet, *, fails: bool) -> Story:
        """Change another property of the guard, and go back if that fails; its fleet stays."""
        self.stays.append(fleet)
        self._target(fleet)
        self._row(DRAIN, fleet.fleet_id, "CREATE_COMPLETE")
        yield 1.0
        self._begin("UPDATE_IN_PROGRESS")
        update = self._ask("Update", fleet, fleet.fleet_id, fleet)
        yield update
        if fails or _status(update) != "SUCCESS":
            yield from self._go_back(fleet, fleet, self._known_as(update))
            return
        self._phase("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        known_as = self._known_as(update)
        if known_as != fleet.fleet_id:
            yield from self._delete(fleet, fleet.fleet_id, goes=False, replaced_by=known_as)
        self._phase("UPDATE_COMPLETE")

    def _go_back(self, old: Fleet, new: Fleet, physical_id: str) -> Story:
        self._phase("UPDATE_ROLLBACK_IN_PROGRESS")
        if self.expires:
            # Its instances serve on; only the request for them is over.
            self.account.fleets.fleets.pop(old.fleet_id, None)
        self._target(old, "UPDATE_COMPLETE")
        back = self._ask("Update", old, physical_id, new)
        yield back
        if _status(back) != "SUCCESS":
            self._phase("UPDATE_ROLLBACK_FAILED")
            return
        self._phase("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        known_as = self._known_as(back)
        if physical_id != known_as:
            goes = new is not old
            yield from self._delete(new, physical_id, goes=goes, replaced_by=known_as)
        if new is not old:
            self._end(new)
        self._phase("UPDATE_ROLLBACK_COMPLETE")

    def delete(self, fleet: Fleet) -> Story:
        """Delete the stack."""
        self._target(fleet)
        self._row(DRAIN, fleet.fleet_id, "CREATE_COMPLETE")
        yield 1.0
        self._begin("DELETE_IN_PROGRESS")
        yield from self._delete(fleet, fleet.fleet_id, goes=True)
        self._end(fleet)

    # What they are made of

    def _begin(self, status: str) -> None:
        self.account.stacks.phase(self.name, status, changed_at=self.account.now)

    def _phase(self, status: str) -> None:
        self.account.stacks.phase(self.name, status)

    def _row(self, logical_id: str, physical_id: str, status: str, **more: Any) -> None:
        row = Row(physical_id, status, self.account.now, **more)
        self.account.stacks.put_row(self.name, logical_id, row)

    def _target(self, fleet: Fleet, status: str = "CREATE_COMPLETE") -> None:
        if not self.foreign:
            self._row(TARGET, fleet.fleet_id, status, resource_type=FLEET_TYPE)

    def _end(self, fleet: Fleet) -> None:
        """Cancel a fleet, with its instances, unless it is not the stack's."""
        if not self.foreign:
            self.account.fleets.cancel(fleet, terminate_instances=True)

    def _made_up(self) -> str:
        return f"{self.name}-{DRAIN}-{self.account.hexadecimal(12).upper()}"

    def _known_as(self, request: CustomResourceRequest) -> str:
        """Return the physical id after a request; one is made up where nothing was answered."""
        own = str(request.event.get("PhysicalResourceId", ""))
        answer = request.answer or {}
        return str(answer.get("PhysicalResourceId") or own or self._made_up())

    def _ask(
        self,
        kind: RequestType,
        fleet: Fleet,
        physical_id: str = "",
        old: Fleet | None = None,
        *,
        cancelled: bool = False,
    ) -> CustomResourceRequest:
        request = self.account.stacks.request(
            kind,
            self.properties(fleet),
            physical_id=physical_id or None,
            old_properties=self.properties(old) if old else None,
            stack=self.name,
            logical_id=DRAIN,
        )
        self._row(DRAIN, physical_id, f"{kind.upper()}_IN_PROGRESS")
        self.asked.append(Asked(request, fleet, goes=False, cancelled=cancelled))
        self.deliver(request)
        return request

    def _delete(
        self, fleet: Fleet, physical_id: str, *, goes: bool, replaced_by: str = ""
    ) -> Story:
        for _ in range(ATTEMPTS):
            request = self.account.stacks.request(
                "Delete",
                self.properties(fleet),
                physical_id=physical_id,
                stack=self.name,
                logical_id=DRAIN,
            )
            if replaced_by:
                self._row(DRAIN, replaced_by, "UPDATE_COMPLETE")
            else:
                self._row(DRAIN, physical_id, "DELETE_IN_PROGRESS")
            self.asked.append(Asked(request, fleet, goes))
            self.deliver(request)
            yield request
            if _status(request) == "SUCCESS":
                break
        if not replaced_by:
            self.account.stacks.put_row(self.name, DRAIN, None)


def _status(request: CustomResourceRequest) -> str:
    return str((request.answer or {}).get("Status", ""))
