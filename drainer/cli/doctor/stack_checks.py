"""
The checks of the drainer's stack: how messages reach the function, and who hears if they do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.cli.account.reader import Unread
from drainer.cli.doctor.facts import known
from drainer.cli.doctor.verdicts import warning, wrong
from drainer.config import Config
from drainer.errors import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from drainer.cli.doctor.facts import Function, Stack, Subscription
    from drainer.cli.doctor.verdicts import Finding

NOTIFICATIONS, WAITS, QUIETS, WAKE_UPS = "NoticeQueue", "WaitQueue", "QuietQueue", "WakeUpQueue"
DEAD_LETTERS = "DeadLetterQueue"
RULES = ("Sweep", "FastPath", "StoppedTasks", "EventBridgeNotices")
# The queue of wake-ups has no dead letters: what is five minutes old is of no use (drainer.yaml).
SOURCES = (NOTIFICATIONS, WAITS, QUIETS, WAKE_UPS)

# The queue and the filter of each subscription, as infra/drainer.yaml has them.
SUBSCRIPTIONS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (NOTIFICATIONS, {"LifecycleTransition": ["autoscaling:EC2_INSTANCE_TERMINATING"]}),
    (NOTIFICATIONS, {"RequestType": ["Create", "Update", "Delete"]}),
    (WAITS, {"drainer": ["re-invocation"], "quiet": [{"exists": False}]}),
    (QUIETS, {"drainer": ["re-invocation"], "quiet": [True]}),
)
# The same without the fast path, which has no queue for quiet drains.
SLOW_SUBSCRIPTIONS = (*SUBSCRIPTIONS[:2], (WAITS, {"drainer": ["re-invocation"]}))

# The delay of the queue of quiet drains (QUIET_SECONDS in drainer/drain/record.py).
QUIET_DELAY = 75
# "set the visibility timeout to at least six times the function timeout"
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY_FACTOR = 6
# Two batches of each of four queues, a sweep and an event: with less, Lambda throttles batches.
RESERVED_MIN = 10


def deploy(stack: Stack) -> str:
    """Return the command that sets what the template says."""
    return f"make deploy BUCKET=... STACK={stack.name}"


def topic(stack: Stack) -> Iterator[Finding]:
    """Find a topic that was deleted."""
    if known(stack.topic) is None:
        yield wrong(
            f"The topic {stack.topic_arn} does not exist.",
            "Auto Scaling cannot notify: the default result applies at once, undrained.",
            f"Delete the stack {stack.name} and deploy it again, then each attach.yaml.",
        )


def subscriptions(stack: Stack) -> Iterator[Finding]:
    """Find subscriptions of the topic that are missing, filter wrongly, or are not the stack's."""
    there, queues = known(stack.subscriptions), arns(stack)
    expected = SUBSCRIPTIONS if QUIETS in stack.resources else SLOW_SUBSCRIPTIONS
    for logical_id, policy in expected:
        arn = queues.get(logical_id, "")
        if not any(_delivers(one, arn, policy) for one in there):
            yield wrong(
                f"No subscription of the topic delivers {_words(policy)} to {logical_id}.",
                "These messages are lost: drains do not begin or do not go on.",
                deploy(stack),
            )
    for one in there:
        if one.endpoint not in queues.values():
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
    if "LifecycleTransition" in policy:
        return "notifications"
    if "RequestType" in policy:
        return "requests of CloudFormation"
    return "quiet re-invocations" if policy.get("quiet") == [True] else "re-invocations"


def arns(stack: Stack) -> dict[str, str]:
    """Return the ARNs of the stack's queues that exist, by logical id."""
    found = {name: known(queue) for name, queue in stack.queues.items()}
    return {name: queue.arn for name, queue in found.items() if queue is not None}


def queues(stack: Stack) -> Iterator[Finding]:
    """Find queues with a wrong delay, a short visibility timeout or no dead letters."""
    interval = config(stack).pass_interval_seconds
    delays = {NOTIFICATIONS: 0, WAITS: interval, QUIETS: max(QUIET_DELAY, interval), WAKE_UPS: 0}
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


def function_state(stack: Stack) -> Iterator[Finding]:
    """Find a function that is gone, not active, or may not run."""
    function = known(stack.function)
    if function is None:
        effect = "No instance is drained: each hook times out."
        yield wrong("The function does not exist.", effect, deploy(stack))
        return
    if function.state not in {"Active", "Inactive"} or function.update_status == "Failed":
        yield wrong(
            f"The function is {function.state}, its last update {function.update_status}.",
            "It may not run, or runs an older version.",
            f"aws lambda get-function-configuration --function-name {function.name}",
        )
    reserved = known(function.reserved)
    if reserved == 0:
        yield wrong(
            "The function's reserved concurrency is 0.",
            "Lambda throttles every invocation: no instance is drained.",
            f"aws lambda delete-function-concurrency --function-name {function.name}",
        )
    elif reserved is not None and reserved < RESERVED_MIN:
        yield warning(
            f"The function's reserved concurrency is {reserved}, under {RESERVED_MIN}.",
            "In a crowd Lambda throttles batches, and messages can become dead letters.",
            f"aws lambda put-function-concurrency --function-name {function.name} "
            f"--reserved-concurrent-executions {RESERVED_MIN}",
        )


def config(stack: Stack) -> Config:
    """Return the function's settings; the defaults where they are wrong or not read."""
    function = stack.function
    if function is None or isinstance(function, Unread):
        return Config(topic_arn=stack.topic_arn)
    try:
        return Config.from_environment(function.environment)
    except MisconfiguredError:
        return Config(topic_arn=stack.topic_arn)


def settings(stack: Stack) -> Iterator[Finding]:
    """Find settings that the function rejects, or that name another topic or table."""
    function = existing(stack)
    effect = "The function fails at its start, or its messages go elsewhere."
    try:
        given = Config.from_environment(function.environment)
    except MisconfiguredError as error:
        yield wrong(str(error), effect, deploy(stack))
        return
    for name, there, own in (
        ("DRAINER_TOPIC_ARN", given.topic_arn, stack.topic_arn),
        ("DRAINER_RECORDS_TABLE", given.records_table, stack.resources.get("Records", "")),
    ):
        if there != own:
            yield wrong(f"{name} is {there or 'empty'}, not {own}.", effect, deploy(stack))


def recursion(stack: Stack) -> Iterator[Finding]:
    """Find recursive-loop detection, which ends every chain of re-invocations."""
    if not stack.topic_arn.startswith("arn:aws:"):
        return  # Lambda detects loops in the commercial Regions only (infra/drainer.yaml).
    function = existing(stack)
    if known(function.recursive_loop) != "Allow":
        yield wrong(
            f"RecursiveLoop is {function.recursive_loop}, not Allow.",
            "Lambda ends a drain's chain after about 16 passes, without an error.",
            f"aws lambda put-function-recursion-config --function-name {function.name} "
            "--recursive-loop Allow",
        )


def errors(stack: Stack) -> Iterator[Finding]:
    """Find invocations that failed or were throttled in the last 24 hours."""
    day = known(stack.day)
    log = f"make log STACK={stack.name} FIND='?ERROR ?errorType ?timeout'"
    if day.errors:
        effect = "Their messages are delivered again in 3 minutes: drains take longer."
        yield warning(f"{day.errors} invocations failed in 24 hours.", effect, log)
    if day.throttles:
        yield warning(
            f"Lambda throttled {day.throttles} invocations in 24 hours.",
            "Notifications wait, and a hook without a heartbeat applies its default result.",
            "aws lambda get-account-settings --query AccountLimit",
        )


def sweep(stack: Stack) -> Iterator[Finding]:
    """Find rules of EventBridge that do not run, and a function that no sweep has invoked."""
    for name, value in stack.rules.items():
        rule = known(value)
        if rule is None or rule.state != "ENABLED":
            shown = rule.name if rule else stack.resources.get(name, name)
            judged = wrong if name == "Sweep" else warning
            yield judged(
                f"The rule {name} is {rule.state if rule else 'missing'}.",
                "Lost messages are not found again."
                if name == "Sweep"
                else "Answers come up to 75 s after the last task has stopped.",
                f"aws events enable-rule --name {shown}",
            )
    if not known(stack.day).invocations:
        yield wrong(
            "The function was not invoked in 24 hours.",
            "Sweeps do not run, so that lost messages are not found again.",
            f"aws lambda get-policy --function-name {existing(stack).name}",
        )


def dead_letters(stack: Stack) -> Iterator[Finding]:
    """Find messages that failed permanently."""
    queue = known(stack.queues.get(DEAD_LETTERS))
    if queue is not None and queue.visible:
        yield warning(
            f"{queue.visible} messages are in the dead-letter queue.",
            "A request of CloudFormation among them gets no response.",
            f"drainer redrive --dry-run --stack {stack.name}",
        )


def table(stack: Stack) -> Iterator[Finding]:
    """Find a table of records that the function cannot use."""
    status = known(stack.table)
    if status not in {"ACTIVE", "UPDATING"}:
        yield wrong(
            f"The table of records is {status or 'missing'}.",
            "Lost messages are not found again, and duplicates fork chains.",
            deploy(stack),
        )


def alarms(stack: Stack) -> Iterator[Finding]:
    """Find alarms that are missing, notify no one, or ring now."""
    expected = {name for name in stack.resources if name.endswith("Alarm")}
    found = {one.name: one for one in known(stack.alarms)}
    silent: list[str] = []
    for logical_id in sorted(expected):
        alarm = found.get(stack.resources[logical_id])
        if alarm is None:
            effect = "Its fault is not reported."
            yield warning(f"The alarm {logical_id} does not exist.", effect, deploy(stack))
        elif not alarm.enabled or not any(_is_heard(stack, one) for one in alarm.actions):
            silent.append(logical_id)
        elif alarm.state == "ALARM":
            yield warning(
                f"{logical_id} is in state ALARM.",
                "Its description says the harm and the command to run.",
                f"aws cloudwatch describe-alarms --alarm-names {alarm.name}",
            )
    if silent:
        yield warning(
            f"No one is notified by {len(silent)} alarms: {', '.join(silent)}.",
            "A fault shows in the console only.",
            f"{deploy(stack)} PARAMETERS=AlarmTopicArn=..., and confirm a subscription of it.",
        )


def _is_heard(stack: Stack, action: str) -> bool:
    """Whether an action reaches a listener; what is no topic is one."""
    return action not in stack.listeners or bool(known(stack.listeners[action]))


def attached(stack: Stack) -> Iterator[Finding]:
    """Find stacks that attach a group that no longer exists."""
    there = known(stack.attached_groups)
    for one in known(stack.attached):
        if one.group and one.group not in there:
            yield warning(
                f"The stack {one.stack} attaches {one.group}, which does not exist.",
                "Its hook and role outlive the group. A new group of that name has no hook.",
                f"aws cloudformation delete-stack --stack-name {one.stack}",
            )
