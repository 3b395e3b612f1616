from __future__ import annotations

import pytest

from drainer.cli.explain.messages import Failure, Kind, failure_of, matched, normalised

PLACE = "was unable to place a task because no container instance met all of its requirements."
CLOSEST = f"(service web) {PLACE} The closest matching (container-instance 79cac21e)"
EVENTS = (
    (Kind.PLACE_MEMORY, f"{CLOSEST} has insufficient memory available."),
    (
        Kind.PLACE_MEMORY,
        (
            f"service web {PLACE} The closest matching container-instance 79cac21e has "
            "insufficient memory available. For more information, see the Troubleshooting "
            "section of the Amazon ECS Developer Guide."
        ),
    ),
    (Kind.PLACE_CPU, f"{CLOSEST} has insufficient CPU units available."),
    (Kind.PLACE_PORT, f"{CLOSEST} is already using a port required by your task."),
    (Kind.PLACE_ATTRIBUTE, f"{CLOSEST} is missing an attribute required by your task."),
    (Kind.PLACE_AGENT, f'{CLOSEST} encountered error "AGENT".'),
    (Kind.PLACE_AGENT, f"{CLOSEST} doesn't have the agent connected."),
    (Kind.PLACE_ENI, f'{CLOSEST} encountered error "RESOURCE:ENI".'),
    (Kind.PLACE_GPU, f'{CLOSEST} encountered error "RESOURCE:GPU".'),
    (Kind.PLACE_DISTINCT, f'{CLOSEST} encountered error "DistinctInstance placement constraint".'),
    (
        Kind.PLACE_CONSTRAINT,
        f'{CLOSEST} encountered error "MemberOf placement constraint unsatisfied.".',
    ),
    (Kind.PLACE_CONSTRAINT, f'{CLOSEST} encountered error "memberOf constraint unsatisfied"'),
    (
        Kind.PLACE_EMPTY,
        f"(service web) {PLACE} Reason: No Container Instances were found in your cluster.",
    ),
    (
        Kind.PLACE_EMPTY,
        (
            "(service web) was unable to place a task. Reason: TaskFailedToStart: EMPTY CAPACITY "
            "PROVIDER."
        ),
    ),
    (Kind.PLACE_BARE, f"(service web) {PLACE}"),
    (
        Kind.PLACE_ZONE,
        (
            "service (web) is unable to place a task in eu-central-1c because no container "
            "instance met all of its requirements."
        ),
    ),
    (
        Kind.QUOTA,
        (
            "(service web) was unable to place a task. Reason: You've reached the limit on the "
            "number of tasks you can run concurrently"
        ),
    ),
    (
        Kind.QUOTA,
        (
            "service (web) was unable to place tasks in your cluster because the tasks "
            "provisioning capacity limit was exceeded."
        ),
    ),
    (
        Kind.CAPACITY,
        "(service web) was unable to place a task. Reason: Capacity is unavailable at this time.",
    ),
    (
        Kind.SERVICE_ROLE,
        "(service web) failed to launch a task with (error ECS was unable to assume the role 'r').",
    ),
    (Kind.LAUNCH_ERROR, "(service web) failed to launch a task with (error something else)."),
    (Kind.PARTIAL_LAUNCH, "service (web) could not launch 2 tasks for deployment ecs-svc/1."),
    (
        Kind.UNHEALTHY_TARGET,
        (
            "(service web) (task 9d85) (instance i-0f) (port 32875) is unhealthy in (target-group "
            "arn:aws:x) due to (reason Health checks failed with these codes: [503])."
        ),
    ),
    (
        Kind.TARGET_GROUP_MISSING,
        (
            "service (web) task set (ecs-svc/1) (task 9d85) is not healthy in target-group (arn:x) "
            "due to TARGET GROUP IS NOT FOUND."
        ),
    ),
    (Kind.CONTAINER_UNHEALTHY, "(service web) (task 9d85) failed container health checks."),
    (Kind.IMPAIRED, "(service web) is unable to consistently start tasks successfully."),
    (Kind.THROTTLED, "(service web) operations are being throttled on elb. Will try again later."),
    (
        Kind.DEPLOYMENT_CONFIGURATION,
        (
            "(service web) was unable to stop or start tasks during a deployment because of the "
            "service deployment configuration."
        ),
    ),
    (
        Kind.ZONE_REBALANCING,
        "(service web) has started 2 tasks in eu-central-1a to AZ Rebalance: (task 1).",
    ),
    (
        Kind.PROTECTED,
        (
            "(service web, taskSet ecs-svc/1) was unable to scale in due to (reason 1 tasks under "
            "protection)"
        ),
    ),
    (
        Kind.DEPLOYMENT_FAILED,
        "(service web) (deployment ecs-svc/1) deployment failed: tasks failed to start.",
    ),
    (Kind.ROLLBACK, "(service web) rolling back to deployment ecs-svc/12."),
    (
        Kind.CONNECTIONS,
        "(service web, taskSet ecs-svc/1) has begun draining connections on 1 tasks.",
    ),
    (Kind.DEREGISTERED, "(service web) deregistered 1 targets in (target-group arn:x)"),
    (Kind.REGISTERED, "(service web) registered 1 targets in (target-group arn:x)"),
    (Kind.STARTED, "(service web) has started 1 tasks: (task 6a12)."),
    (Kind.STOPPED, "(service web) has stopped 1 running tasks: (task 6a12)."),
    (Kind.STOPPED_PENDING, "(service web) stopped 1 pending tasks."),
    (Kind.DEPLOYMENT_COMPLETED, "(service web) (deployment ecs-svc/1) deployment completed."),
    (Kind.STEADY, "(service web) has reached a steady state."),
    (Kind.OTHER, "(service web) has done something new."),
)


@pytest.mark.parametrize(("kind", "message"), EVENTS)
def test_each_event_of_ecs_is_understood(kind: Kind, message: str) -> None:
    # An event taken for another one names the wrong cause, and its advice does harm.
    assert matched(message).kind == kind


def test_every_kind_of_event_has_an_example() -> None:
    # A pattern that no example needs may match nothing, or everything.
    without = {Kind.IMAGE_PULL, Kind.START_ERROR}

    assert {kind for kind, _ in EVENTS} | without == set(Kind)


def test_the_console_form_is_read_like_the_api_form() -> None:
    # People paste what the console shows: it has no parentheses and another tail.
    api = f"{CLOSEST} has insufficient memory available."
    console = f"{api.replace('(', '').replace(')', '')}\n|Learn more"

    assert normalised(api) == normalised(console)


def test_an_unhealthy_target_says_why() -> None:
    found = matched(
        "(service web) (task 1) is unhealthy in (target-group arn:x) due to (reason Request timed "
        "out)."
    )

    assert found.names["why"] == "Request timed out"
    assert found.names["target"] == "arn:x"


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (Failure.IMAGE_PULL, "TaskFailedToStart", "CannotPullContainerError: no such tag"),
        (Failure.START_ERROR, "TaskFailedToStart", "ResourceInitializationError: no secret"),
        (Failure.START_ERROR, "TaskFailedToStart", "something that is new"),
        (Failure.NO_ENI, "TaskFailedToStart", "Unable to attach network interface to unused"),
        (Failure.NO_MEMORY, "TaskFailedToStart", "TaskFailedToStart: RESOURCE:MEMORY"),
        (Failure.NO_CPU, "TaskFailedToStart", "TaskFailedToStart: RESOURCE:CPU"),
        (Failure.NO_GPU, "TaskFailedToStart", "TaskFailedToStart: RESOURCE:GPU"),
        (Failure.PORT_TAKEN, "TaskFailedToStart", "TaskFailedToStart: RESOURCE:PORTS"),
        (Failure.ATTRIBUTE, "TaskFailedToStart", "TaskFailedToStart: ATTRIBUTE"),
        (Failure.CONSTRAINT, "TaskFailedToStart", "MemberOf placement constraint unsatisfied"),
        (Failure.NO_INSTANCES, "TaskFailedToStart", "TaskFailedToStart: EMPTY CAPACITY PROVIDER"),
        (Failure.UNHEALTHY, "ServiceSchedulerInitiated", "Task failed ELB health checks in (x)"),
        (Failure.UNHEALTHY, "ServiceSchedulerInitiated", "Task failed container health checks"),
        (Failure.EXITED, "EssentialContainerExited", "Essential container in task exited"),
        (Failure.EXITED, "EssentialContainerExited", ""),
        (Failure.NORMAL, "ServiceSchedulerInitiated", "Scaling activity initiated by (x)"),
        (Failure.NORMAL, "UserInitiated", "Task stopped by user"),
    ],
)
def test_each_reason_of_a_stopped_task_is_understood(
    failure: Failure, code: str, reason: str
) -> None:
    # A task that was stopped as intended is no failure; one that failed is the whole answer.
    assert failure_of(code, (reason,)) == failure
