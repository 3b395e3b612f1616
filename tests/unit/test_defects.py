"""
Defects of others that no single module has or lacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drainer import handler
from drainer.simulation.aws import Aws
from drainer.simulation.scenario.installation import install
from drainer.simulation.services.auto_scaling.lifecycle import LifecycleHook

if TYPE_CHECKING:
    from drainer.simulation.services.auto_scaling.lifecycle import LifecycleAction

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STEP_SECONDS = 5
# The slower of the two drains takes half an hour.
STEPS_MAX = 1000


@dataclass
class World:
    """
    An account with the drainer in it; of one seed, so that two have the same ids and tokens.
    """

    account: Aws
    action: LifecycleAction

    def step(self) -> None:
        self.account.run_for(STEP_SECONDS)

    def story(self) -> list[tuple[str, str, str | None]]:
        """
        Every call made, when, and how it ended.
        """
        return [(call.at.isoformat(), call.operation, call.error) for call in self.account.calls]


def world(*, job_seconds: float) -> World:
    """
    Let an instance go on which a standalone task runs for so long.
    """
    account = Aws(now=START)

    def build(environ: Any, client: Any, clock: Any, /) -> Any:
        return handler.build(environ, client, clock)

    installed = install(account, build=build, environ={"DRAINER_CLUSTERS": "payments"})
    account.auto_scaling.create_group("payments-asg", cluster="payments", desired=2)
    account.auto_scaling.put_hook(
        LifecycleHook(
            "drainer",
            "payments-asg",
            default_result="CONTINUE",
            notification_target_arn=installed.topic.arn,
        )
    )
    oldest = next(iter(account.auto_scaling.instances))
    account.ecs.run_standalone("payments", oldest, seconds=job_seconds)
    (leaving,) = account.auto_scaling.scale_in("payments-asg")
    return World(account, leaving.actions[0])


def drained_alone(job_seconds: float) -> World:
    alone = world(job_seconds=job_seconds)
    for _ in range(STEPS_MAX):
        alone.step()
    return alone


# A warm function serves one drain after another: what the first left behind would end the second.
def test_defect_27_drains_in_one_process_share_nothing() -> None:
    short, long = world(job_seconds=120), world(job_seconds=1800)
    names = {(one.action.token, one.action.ec2_instance_id) for one in (short, long)}

    for _ in range(STEPS_MAX):
        short.step()
        long.step()

    assert len(names) == 1
    assert short.action.result == long.action.result == "CONTINUE"
    assert short.story() == drained_alone(120).story()
    assert long.story() == drained_alone(1800).story()
    assert short.story() != long.story()
