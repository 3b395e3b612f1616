"""
The fixed list of causes: the words of `drainer explain`, of its JSON and of docs/causes.md.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """
    Why an instance has not been released yet.

    The order is the order of importance: of two causes with an equal pace the earlier is named
    first. A word is never given a new meaning, since programs read it.
    """

    # The drainer itself: without it, the hook's default result is applied.
    FUNCTION_DISABLED = "function-disabled"
    FUNCTION_THROTTLED = "function-throttled"
    FUNCTION_FAILING = "function-failing"
    DEAD_LETTERS = "dead-letters"
    CHAIN_LOST = "chain-lost"
    # The instance.
    AGENT_DISCONNECTED = "agent-disconnected"
    STUCK_STOPPING = "stuck-stopping"
    # The limits of the service.
    MINIMUM_EQUALS_MAXIMUM = "minimum-equals-maximum"
    CIRCUIT_BREAKER = "circuit-breaker"
    BLUE_GREEN_HOLD = "blue-green-hold"
    # A replacement that has no place.
    NO_MEMORY = "no-memory"
    NO_CPU = "no-cpu"
    NO_GPU = "no-gpu"
    PORT_TAKEN = "port-taken"
    NO_ENI = "no-eni"
    ZONE = "zone"
    PLACEMENT_CONSTRAINT = "placement-constraint"
    DISTINCT_INSTANCE = "distinct-instance"
    MISSING_ATTRIBUTE = "missing-attribute"
    NO_INSTANCES = "no-instances"
    NO_PLACE = "no-place"
    SIMPLE_SCALING = "simple-scaling"
    GROUP_CANNOT_GROW = "group-cannot-grow"
    CAPACITY_WAIT = "capacity-wait"
    # A replacement that does not start, or does not become healthy.
    IMAGE_PULL = "image-pull"
    START_ERROR = "start-error"
    CRASH_LOOP = "crash-loop"
    TARGET_GROUP_MISSING = "target-group-missing"
    UNHEALTHY_REPLACEMENT = "unhealthy-replacement"
    SERVICE_ROLE = "service-role"
    QUOTA = "quota"
    SERVICE_THROTTLED = "service-throttled"
    # Tasks that ECS does not stop.
    STANDALONE_TASK = "standalone-task"
    TASK_PROTECTED = "task-protected"
    # What holds the instance after its tasks.
    OTHER_HOOK = "other-hook"
    MANAGED_DRAINING = "managed-draining"
    # What ends by itself.
    GRACE_PERIOD = "grace-period"
    STARTING = "starting"
    DEPLOYMENT_IN_PROGRESS = "deployment-in-progress"
    DESIRED_ONE = "desired-one"
    SERVICE_DELETING = "service-deleting"
    TARGET_DRAINING = "target-draining"
    STOP_TIMEOUT = "stop-timeout"
    DEPROVISIONING = "deprovisioning"
    DAEMON = "daemon"
    ON_COURSE = "on-course"
    FINISHED = "finished"
    # What could not be explained.
    UNREAD = "unread"
    UNKNOWN = "unknown"


class Pace(StrEnum):
    """Whether a cause ends by itself."""

    STUCK = "stuck"  # it lasts until a person or a new instance changes something
    WAITS = "waits"  # it ends by itself, at a time that the drain does not decide
    MOVES = "moves"  # the drain goes on


IMPORTANCE = {cause: number for number, cause in enumerate(Cause)}
PACES = tuple(Pace)
