"""The checkers bite: deliberate bugs of the production code do not get past them."""

from __future__ import annotations

from drainer.cli.simulate_mutations import BUGS, SEEDS_MAX, catch_all


def test_every_deliberate_bug_is_caught_within_500_seeds() -> None:
    # Checkers that never speak cannot be told from checkers that cannot speak.
    caught = {one.name: one.seeds for one in catch_all(processes=2)}

    assert len(caught) == len(BUGS) >= 36
    assert [name for name, seeds in caught.items() if seeds is None] == []
    assert max(seeds or 0 for seeds in caught.values()) <= SEEDS_MAX
