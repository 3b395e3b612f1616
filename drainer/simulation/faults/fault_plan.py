"""
Choose a seed's faults and put them into an account; what each does is in `faults` and `mishaps`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from drainer.simulation.faults import ecs_faults, limits
from drainer.simulation.faults.faults import READS, STALE_SECONDS_MAX, Faults
from drainer.simulation.faults.intensity import INTENSITIES, WEIGHTS, Window
from drainer.simulation.faults.mishaps import MISHAPS, lose_patience
from drainer.simulation.faults.unheard import Unheard
from drainer.simulation.scenario.installation import NOTIFICATION_SECONDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from drainer.simulation.aws import Aws
    from drainer.simulation.scenario.installation import Installation
    from drainer.simulation.scenario.promises import Workload
    from drainer.simulation.scenario.trace import Trace

WRITES = frozenset(
    {
        "CompleteLifecycleAction",
        "RecordLifecycleActionHeartbeat",
        "UpdateContainerInstancesState",
        "StopTask",
        "UpdateItem",
        "PublishBatch",
    }
)
TABLE_READS = frozenset({"BatchGetItem", "Query"})
KINDS = (
    "throttled",
    "failing",
    "denied",
    "stale",
    "failures",
    "performed, answer lost",
)
# Faults last from some minutes to most of the longest drain that is common.
CEASE_SECONDS = (300.0, 4_000.0)
SILENCE_SECONDS_MAX = 3_600.0
# Most mishaps find no waiting instance to strike.
MISHAPS_FOR_EACH_WINDOW = 3
# How often notifications take their time.
APART_SHARE = 0.3
# How often an operator answers our hooks by hand while they wait, time and again.
IMPATIENT_SHARE = 0.25
# How often the first of two actions of an instance is never announced.
UNHEARD_SHARE = 0.3
# Answers that are wrong rather than missing pass sooner.
UNSOUND_SECONDS_MAX = 600.0


def choose(
    account: Aws, random: Random, trace: Trace, went_astray: Callable[[str], None]
) -> Faults:
    """
    Choose how much goes wrong, and until when.

    Args:
        account: where.
        random: decides.
        trace: is told of each fault.
        went_astray: is told of each message that a channel loses or holds up.
    """
    name = random.choices([*WEIGHTS], weights=[*WEIGHTS.values()])[0]
    intensity = INTENSITIES[name]
    ceased_at = account.now
    if name != "calm":
        ceased_at += timedelta(seconds=random.uniform(*CEASE_SECONDS))
    return Faults(account, random, trace, went_astray, intensity, ceased_at)


def install(faults: Faults, workload: Workload, installed: Installation) -> None:
    """Put the faults into the account, the installation and the timetable."""
    random, account, intensity = faults.random, faults.account, faults.intensity
    ecs_faults.install(faults, workload.random)
    if random.random() < APART_SHARE:
        _set_apart(faults, installed)
    if not faults.going_on:
        return
    faults.stale_seconds = min(STALE_SECONDS_MAX, workload.pass_interval_seconds)
    notifications, envelopes, *_ = installed.topic.subscriptions
    faults.disturb("notification", notifications.channel)
    faults.disturb("re-invocation", envelopes.channel)
    faults.disturb("rule", installed.rule)
    faults.disturb("schedule", installed.schedule)
    faults.disturb_stamps(account.on_notification)
    for _ in range(random.randint(0, intensity.windows)):
        open_window(faults, READS | TABLE_READS, WRITES)
    burden(faults, installed, READS | TABLE_READS | WRITES)
    if random.random() < intensity.message:
        begins_at = faults.account.now + timedelta(seconds=random.uniform(0, 900))
        seconds = random.choice([random.uniform(30, 600), SILENCE_SECONDS_MAX])
        ends_at = begins_at + timedelta(seconds=seconds)
        faults.silences.append((begins_at, ends_at))
        faults.ceased_at = max(faults.ceased_at, ends_at)
    if random.random() < IMPATIENT_SHARE:
        lose_patience(faults, workload, installed)
    elif random.random() < UNHEARD_SHARE:
        Unheard(faults, workload, installed).befall()
    for _ in range(random.randint(0, MISHAPS_FOR_EACH_WINDOW * intensity.windows)):
        mishap = random.choice(MISHAPS)
        seconds = random.uniform(1, _lasting(faults))
        account.after(seconds, lambda mishap=mishap: mishap(faults, workload, installed))  # type: ignore[misc]


def _set_apart(faults: Faults, installed: Installation) -> None:
    """
    Let the notifications of two hooks of one instance come seconds apart, as nothing orders them.
    """

    def apart(_: object) -> tuple[float, ...]:
        return (faults.random.uniform(0, NOTIFICATION_SECONDS_MAX),)

    installed.topic.subscriptions[0].channel.faults.append(apart)


def burden(faults: Faults, installed: Installation, operations: frozenset[str]) -> None:
    """Let operations be slow for minutes, and asynchronous events come twice."""
    for _ in range(faults.random.randint(0, faults.intensity.windows)):
        limits.slow_down(faults, installed.function.call_time, operations)
    installed.function.again.append(lambda: limits.deliver_again(faults))


def open_window(faults: Faults, reads: frozenset[str], writes: frozenset[str]) -> None:
    """Let calls of some operations go wrong for a while."""
    random, now = faults.random, faults.account.now
    kind = random.choice(KINDS)
    operations = random.choice([reads | writes, reads, writes])
    if random.random() < 0.6:
        operations = frozenset({random.choice(sorted(reads | writes))})
    lasting = _lasting(faults)
    begins = random.uniform(0, lasting)
    seconds = min(2.0 ** random.uniform(3, 12), lasting - begins)
    if kind in {"stale", "failures"}:
        seconds = min(seconds, UNSOUND_SECONDS_MAX)
    window = Window(
        kind,
        now + timedelta(seconds=begins),
        now + timedelta(seconds=begins + seconds),
        operations,
        random.choice([0.3, 0.7, 1.0]) if kind != "failures" else 0.3,
    )
    faults.windows.append(window)
    if kind == "stale":
        for number in range(int(seconds / faults.stale_seconds) + 1):
            at = window.begins_at + timedelta(seconds=number * faults.stale_seconds)
            faults.account.at(at, faults.remember)


def _lasting(faults: Faults) -> float:
    return (faults.ceased_at - faults.account.now).total_seconds()
