"""
Spot takes back, on the embedded account: the shipped templates and zip, and the requests counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drainer.simulation.embedded.account import EmbeddedAccount
from drainer.simulation.embedded.shape import Physics
from drainer.simulation.embedded.spot import ec2_stage, fargate_stage, warm_up
from drainer.simulation.embedded.spot_watch import SpotSnapshot, SpotWatch
from drainer.simulation.scenario.client_requests import Mix

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from drainer.simulation.embedded.spot import Stage

INFRA = Path(__file__).resolve().parents[2] / "infra"
# While the function is at work, time passes as it does here; in between, as fast as leaves SNS and
# SQS the milliseconds that they take.
FACTOR = 60.0
BEFORE_SECONDS = 45.0
# Until both minutes are over, and then until what is under way has come to its end.
REQUESTS_SECONDS = 140.0
SETTLED_SECONDS = 50.0
MIX = Mix(every_seconds=0.5, lasting_seconds=3.0, long_every=10, long_seconds=40.0)
# No replacement is there within the two minutes.
PHYSICS = Physics(start_seconds=180.0)
CLUSTER = {
    "InstanceCount": "3",
    "InstanceCountMax": "3",
    "TaskCount": "6",
    # One on each instance, so that both services lose one.
    "ApiTaskCount": "3",
    "DeregistrationDelaySeconds": "60",
}


def stage_of(
    embedded: EmbeddedAccount, embedded_zip: Path, kind: str, targets: str
) -> AbstractContextManager[Stage]:
    drainer = {"InterruptedTargets": targets}
    if kind == "ec2":
        return ec2_stage(
            embedded,
            infra=INFRA,
            zip_file=embedded_zip,
            parameters=CLUSTER,
            physics=PHYSICS,
            mix=MIX,
            drainer_parameters=drainer,
        )
    return fargate_stage(
        embedded,
        infra=INFRA,
        zip_file=embedded_zip,
        parameters={"TaskCount": "6"},
        mix=MIX,
        drainer_parameters=drainer,
    )


def interrupted(embedded_zip: Path, kind: str, targets: str) -> SpotSnapshot:
    """
    Let Spot take something back, and return how it stands when all requests have ended.
    """
    with (
        EmbeddedAccount(factor=FACTOR) as embedded,
        stage_of(embedded, embedded_zip, kind, targets) as stage,
    ):
        warm_up(stage)
        embedded.time.sleep(BEFORE_SECONDS)
        watch = SpotWatch(stage, *stage.strike())
        embedded.time.sleep(REQUESTS_SECONDS)
        with embedded.lock:
            for stream in stage.streams:
                stream.stop()
        embedded.time.sleep(SETTLED_SECONDS)
        assert embedded.failures == []
        assert stage.bus.failures == []
        return watch.look()


@pytest.mark.parametrize(("kind", "groups", "reads"), [("ec2", 2, 3), ("fargate", 2, 1)])
def test_no_request_is_cut_that_the_two_minutes_allow(
    embedded_zip: Path, kind: str, groups: int, reads: int
) -> None:
    view = interrupted(embedded_zip, kind, "deregister")

    assert len(view.groups) == groups
    assert [group.needless for group in view.groups] == [()] * groups
    assert all(group.served == group.sent > 300 for group in view.groups)
    assert len(view.reads) == reads
    assert view.gone


# Were none cut here, the test before would show nothing.
@pytest.mark.parametrize("kind", ["ec2", "fargate"])
def test_where_targets_are_left_to_ecs_requests_are_cut(embedded_zip: Path, kind: str) -> None:
    view = interrupted(embedded_zip, kind, "leave")

    assert all(group.needless for group in view.groups)
