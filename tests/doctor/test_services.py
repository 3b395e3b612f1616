"""
What ECS may do with a service's tasks, at the borders: which service is stuck, and which is not.
"""

from __future__ import annotations

import pytest

from drainer.cli.doctor.facts import Cluster, Group, Service
from drainer.cli.doctor.group_checks import Checked
from drainer.cli.doctor.service_checks import cannot_drain, least, most, static_ports, stop_time
from tests.doctor.names import CLUSTER, GROUP, NOW

INSTANCES = frozenset({"i-1", "i-2", "i-3"})


def service(
    desired: int = 3,
    minimum: int = 100,
    maximum: int = 200,
    *,
    is_daemon: bool = False,
    ports: tuple[int, ...] = (),
    stop: int = 30,
    delays: tuple[int, ...] = (),
) -> Service:
    return Service(CLUSTER, "api", desired, minimum, maximum, is_daemon, ports, stop, delays)


def checked(*services: Service) -> Checked:
    """
    Return a group of three instances, on Spot, with services beside them.
    """
    cluster = Cluster(CLUSTER, INSTANCES, INSTANCES, services)
    group = Group(GROUP, (), uses_spot=True, clusters=(cluster,))
    return Checked(group, stack=None, now=NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "bounds", "is_stuck"),
    [
        (1, 100, 200, (1, 2), False),
        (1, 0, 100, (0, 1), False),
        (1, 50, 150, (1, 1), True),
        (1, 100, 100, (1, 1), True),
        (2, 50, 100, (1, 2), False),
        (2, 75, 125, (2, 2), True),
        (2, 100, 150, (2, 3), False),
        (3, 100, 125, (3, 3), True),
        (3, 66, 100, (2, 3), False),
        (4, 100, 125, (4, 5), False),
        (5, 100, 110, (5, 5), True),
        (10, 100, 110, (10, 11), False),
    ],
)
def test_a_service_is_stuck_if_both_bounds_are_its_desired_count(
    desired: int, minimum: int, maximum: int, bounds: tuple[int, int], is_stuck: bool
) -> None:
    # AWS warns of 100 and 100 % only: the rounding makes more of them.
    one = service(desired, minimum, maximum)

    assert (least(one), most(one)) == bounds
    assert bool([*cannot_drain(checked(one))]) == is_stuck


@pytest.mark.parametrize("one", [service(0, 100, 100), service(3, 100, 100, is_daemon=True)])
def test_what_has_no_task_to_move_is_not_stuck(one: Service) -> None:
    # ECS stops a daemon's tasks without a replacement.
    assert [*cannot_drain(checked(one))] == []


@pytest.mark.parametrize(
    ("desired", "minimum", "is_full"), [(2, 100, False), (3, 100, True), (3, 66, False)]
)
def test_a_port_is_full_if_the_least_tasks_need_every_other_instance(
    desired: int, minimum: int, is_full: bool
) -> None:
    # With two of three instances left, two tasks have a place.
    found = [*static_ports(checked(service(desired, minimum, ports=(80,))))]

    assert bool(found) == is_full


@pytest.mark.parametrize(
    "one", [service(0, ports=(80,)), service(3, ports=(80,), is_daemon=True), service(9)]
)
def test_what_takes_no_port_elsewhere_is_not_full(one: Service) -> None:
    assert [*static_ports(checked(one))] == []


@pytest.mark.parametrize(
    ("delays", "stop", "is_slow"),
    [
        ((90,), 30, False),
        ((91,), 30, True),
        ((10, 91), 30, True),
        ((), 120, False),
        ((), 121, True),
    ],
)
def test_spot_gives_two_minutes_to_the_longest_delay_and_the_stop(
    delays: tuple[int, ...], stop: int, is_slow: bool
) -> None:
    assert bool([*stop_time(checked(service(delays=delays, stop=stop)))]) == is_slow


def test_the_delay_that_is_advised_fits() -> None:
    (found,) = stop_time(checked(service(delays=(300,), stop=30)))

    assert found.fix.endswith("Value=60")
