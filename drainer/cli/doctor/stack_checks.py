"""
The checks of the stack's topic and queues: how messages reach the function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread
from drainer.cli.doctor.facts import known
from drainer.cli.doctor.verdicts import warning, wrong
from drainer.config import Config
from drainer.drain.record import QUIET_SECONDS
from drainer.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drainer.cli.doctor.stack_facts import Function, Stack, Subscription
    from drainer.cli.doctor.verdicts import Finding

NOTIFICATIONS, WAITS, QUIETS, WAKE_UPS = "NoticeQueue", "WaitQueue", "QuietQueue", "WakeUpQueue"
DEAD_LETTERS = "DeadLetterQueue"
RULES = ("Sweep", "FastPath", "StoppedTasks", "EventBridgeNotices")
# The queue of wake-ups has no dead letters: what is five minutes old is of no use (drainer.yaml).
SOURCES = (NOTIFICATIONS, WAITS, QUIETS, WAKE_UPS)

# The queue and the filter of each subscription, as infra/drainer.yaml has them.
SUBSCRIPTIONS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (
        NOTIFICATIONS,
        {
            "$or": [
                {"LifecycleTransition": ["autoscaling:EC2_INSTANCE_TERMINATING"]},
                {"RequestType": ["Create", "Update", "Delete"]},
            ]
        },
    ),
    (WAITS, {"drainer": ["re-invocation"], "quiet": [{"exists": False}]}),
    (QUIETS, {"drainer": ["re-invocation"], "quiet": [True]}),
)
# The same without the fast path, which has no queue for quiet drains.
SLOW_SUBSCRIPTIONS = (*SUBSCRIPTIONS[:1], (WAITS, {"drainer": ["re-invocation"]}))

# "set the visibility timeout to at least six times the function timeout"
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_FACTOR = 6


def deploy(stack: Stack) -> str:
    """Return the command that sets what the template says."""
    return f"make deploy BUCKET=... STACK={stack.name}"


def topic(stack: Stack) -> Iterator[Finding]:
    """Find a topic that was deleted."""
    if known(stack.topic) is None:
        yield wrong(
            f"The topic {stack.topic_arn} does not exist.",
            "Auto Scaling cannot notify: the default result applies at once, undrained.",
            f"Detach each group, delete the stacks that import from {stack.name}, then that stack. "
            "Deploy it and attach each group.",
        )


def subscriptions(stack: Stack) -> Iterator[Finding]:
    """Find subscriptions of the topic that are missing, filter wrongly, or are not the stack's."""
    there, queues = known(stack.subscriptions), arns(stack)
    expected = SUBSCRIPTIONS if QUIETS in stack.resources else SLOW_SUBSCRIPTIONS
    for logical_id, policy in expected:
        arn = queues.get(logical_id)
        # The check `queues` reports a queue that is gone.
        if arn and not any(_delivers(one, arn, policy) for one in there):
            yield wrong(
                f"No subscription of the topic delivers {_words(policy)} to {logical_id}.",
                "These messages are lost: drains do not begin or do not go on.",
                deploy(stack),
            )
    names = {url.rpartition("/")[2] for name, url in stack.resources.items() if name in SOURCES}
    for one in there:
        if one.endpoint.rpartition(":")[2] not in names:
            yield warning(
                f"The topic also delivers to {one.protocol} {one.endpoint[:80]}.",
                "Messages hold lifecycle action tokens and URLs of CloudFormation.",
                f"aws sns list-subscriptions-by-topic --topic-arn {stack.topic_arn}",
            )


def _delivers(one: Subscription, arn: str, policy: Mapping[str, Any]) -> bool:
    if one.endpoint != arn or one.protocol != "sqs" or not one.confirmed:
        return False
    return known(one.filter_policy) == policy and known(one.scope) == "MessageBody"


def _words(policy: Mapping[str, Any]) -> str:
    if "$or" in policy:
        return "notifications and requests of CloudFormation"
    return "quiet re-invocations" if policy.get("quiet") == [True] else "re-invocations"


def arns(stack: Stack) -> dict[str, str]:
    """Return the ARNs of the stack's queues that exist, by logical id."""
    found = {name: known(queue) for name, queue in stack.queues.items()}
    return {name: queue.arn for name, queue in found.items() if queue is not None}


def queues(stack: Stack) -> Iterator[Finding]:
    """Find queues with a wrong delay, a short visibility timeout or no dead letters."""
    interval = config(stack).pass_interval_seconds
    delays = {NOTIFICATIONS: 0, WAITS: interval, QUIETS: QUIET_SECONDS, WAKE_UPS: 0}
    function = known(stack.function)
    for name, value in stack.queues.items():
        queue = known(value)
        if queue is None:
            effect = "Its messages are lost, and drains are found by the sweep alone."
            yield wrong(f"The queue {name} does not exist.", effect, deploy(stack))
            continue
        if name in delays and queue.delay_seconds != delays[name]:
            yield wrong(
                f"{name} delays by {queue.delay_seconds} s, {delays[name]} s are set.",
                "Passes come too often and reach the hop limit, or too late for heartbeats.",
                _set(stack, name, "DelaySeconds", delays[name]),
            )
        least = VISIBILITY_FACTOR * (function.timeout_seconds if function else 0)
        if name in delays and queue.visibility_seconds < least:
            yield wrong(
                f"{name}: visibility timeout {queue.visibility_seconds} s, under {least} s.",
                "A batch is delivered again while it is still served: passes come twice.",
                _set(stack, name, "VisibilityTimeout", least + 1),
            )
        if name in delays and name != WAKE_UPS and not queue.has_dead_letters:
            effect = "A message that always fails is delivered again for days."
            yield warning(f"{name} has no dead-letter queue.", effect, deploy(stack))


def _set(stack: Stack, name: str, attribute: str, value: int) -> str:
    url = stack.resources.get(name, name)
    return f"aws sqs set-queue-attributes --queue-url {url} --attributes {attribute}={value}"


def sources(stack: Stack) -> Iterator[Finding]:
    """Find queues that do not invoke the function (event source mappings)."""
    function = existing(stack)
    found = {one.queue_arn: one for one in known(function.sources)}
    for name, arn in arns(stack).items():
        if name not in SOURCES:
            continue
        one = found.get(arn)
        if one is None or one.state not in {"Enabled", "Enabling", "Updating", "Creating"}:
            state = one.state if one else "missing"
            yield wrong(
                f"The event source mapping of {name} is {state}.",
                "Messages wait in the queue: drains are found by the sweep alone.",
                f"aws lambda list-event-source-mappings --function-name {function.name}, "
                "then update-event-source-mapping --enabled --uuid ...",
            )
        elif not one.reports_items:
            yield warning(
                f"The mapping of {name} lacks ReportBatchItemFailures.",
                "One message that fails brings its whole batch back.",
                deploy(stack),
            )


def existing(stack: Stack) -> Function:
    """
    Return the function, as a check that depends on it needs it.

    Raises:
        NotReadError: It does not exist (the check `function` says so), or it was not read.
    """
    gone = Unread("the function does not exist")
    return known(known(stack.function) or gone)


def config(stack: Stack) -> Config:
    """Return the function's settings; the defaults where they are wrong or not read."""
    function = stack.function
    if function is None or isinstance(function, Unread):
        return Config(topic_arn=stack.topic_arn)
    try:
        return Config.from_environment(function.environment)
    except MisconfiguredError:
        return Config(topic_arn=stack.topic_arn)


def dead_letters(stack: Stack) -> Iterator[Finding]:
    """Find messages that failed permanently."""
    queue = known(stack.queues.get(DEAD_LETTERS))
    if queue is not None and queue.visible:
        yield warning(
            f"{queue.visible} messages are in the dead-letter queue.",
            "A request of CloudFormation among them gets no response.",
            f"drainer redrive --dry-run --stack {stack.name}",
        )
