"""
Deregister targets in few calls, each of which is tried by itself while the invocation has time.

Elastic Load Balancing refuses a call as a whole for one target that the group cannot have, so that
the addresses of each family have a call of their own, and what is refused is tried by halves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from drainer.errors import DrainerError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from drainer.spot.events import Target
    from drainer.spot.patience import Patience
    from drainer.spot.report import InterruptionReport, SpotReads

    # The targets that leave, by target group.
    Leaving = Mapping[str, Sequence[tuple[InterruptionReport, Target]]]
    # One call: the target group, the family of the addresses, and the targets.
    Parcel = tuple[str, str, Sequence[Target]]

# A call's own limit is not documented; an ECS service registers no more than a few at once.
TARGETS_MAX = 100

# One target in a hundred that is refused costs 14 more calls by halves; 63 refusals come before the
# single targets of a hundred. A group that has refused more and taken none refuses all.
REFUSALS_MAX = 70
# A hundred targets are single ones after seven halvings.
ROUNDS_MAX = 8


class Departures:
    """
    The deregistrations of one invocation.

    Args:
        spot: To deregister targets.
        patience: The time of this invocation.
    """

    def __init__(self, spot: SpotReads, patience: Patience) -> None:
        self._spot = spot
        self._patience = patience
        # "After you create a target group, you cannot change its target group IP address type":
        # the family of one target is that of all.
        # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html
        self._families: dict[str, str] = {}

    def deregister(self, leaving: Leaving) -> None:
        """Take out what leaves; what failed is an error in its report."""
        taken: dict[str, set[Target]] = defaultdict(set)
        refusals: dict[str, RefusedError] = {}
        refused: Counter[str] = Counter()
        parcels = list(_parcels(leaving))
        # By rounds: what the other groups take at once does not wait for halves.
        for _ in range(ROUNDS_MAX):
            halves: list[Parcel] = []
            for arn, family, targets in parcels:
                alien = self._families.get(arn, family) != family
                if alien or (refused[arn] >= REFUSALS_MAX and not taken[arn]):
                    continue
                try:
                    self._take(arn, targets)
                except RefusedError as error:
                    refusals[arn] = error
                    refused[arn] += 1
                    halves += [(arn, family, half) for half in _halves(targets)]
                except DrainerError as error:
                    for report in _owners(leaving[arn], targets):
                        report.add_error(f"Targets were not deregistered from {arn}", error)
                else:
                    self._families[arn] = family
                    taken[arn].update(targets)
            parcels = halves
        for arn, members in leaving.items():
            _report(arn, members, taken[arn], refusals.get(arn))

    def _take(self, arn: str, targets: Sequence[Target]) -> None:
        self._patience.again(lambda: self._spot.deregister(arn, targets))


def _report(
    arn: str,
    members: Sequence[tuple[InterruptionReport, Target]],
    taken: set[Target],
    refusal: RefusedError | None,
) -> None:
    for report in _owners(members, taken):
        own = {target for one, target in members if one is report}
        report.took(len(own & taken), 1)
    if refusal and not taken:
        for report, _ in members:
            report.add_error(f"Targets were not deregistered from {arn}", refusal)


def _parcels(leaving: Leaving) -> Iterator[Parcel]:
    for arn, members in leaving.items():
        families: dict[str, dict[Target, None]] = defaultdict(dict)
        for _, target in members:
            families["ipv6" if ":" in target.id else "ipv4"][target] = None
        for family in sorted(families):
            targets = list(families[family])
            for start in range(0, len(targets), TARGETS_MAX):
                yield arn, family, targets[start : start + TARGETS_MAX]


def _halves(targets: Sequence[Target]) -> tuple[Sequence[Target], ...]:
    middle = len(targets) // 2
    return (targets[:middle], targets[middle:]) if middle else ()


def _owners(
    members: Sequence[tuple[InterruptionReport, Target]], targets: Iterable[Target]
) -> Iterable[InterruptionReport]:
    wanted = set(targets)
    return {report.key: report for report, target in members if target in wanted}.values()
