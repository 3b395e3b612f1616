"""
Which tests run in one worker, one after the other, and which begin first.

What tests share (an embedded account, a seed that has run) is made anew in each worker that needs
it. So the tests of a file stay together; and the long files begin first, so that no worker is left
alone with one at the end. xdist's own mark for this, `xdist_group`, has no effect here: xdist 3.8
writes the group into an attribute of the test that pytest 9.2 does not read.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# Embedded accounts live in real time: one after the other, each has the speed that it needs.
EMBEDDED = "tests/integration"
# What takes longer than some seconds, the longest first.
LONG = (
    EMBEDDED,
    "tests/simulation/test_mutations.py",
    "tests/security/test_forgery.py",
    "tests/infra/test_package.py",
    "tests/simulation/test_drains.py",
    "tests/simulation/test_custom_resource.py",
    "tests/simulation/test_simulate.py",
    "tests/simulation/test_default_installation.py",
    "tests/security/test_permissions.py",
    "tests/simulation/test_nets.py",
    "tests/simulation/test_spot_crowd.py",
    "tests/fuzz/test_fuzz.py",
    "tests/infra/test_spot.py",
    "tests/simulation/test_spot_seeds.py",
    "tests/unit/test_redrive.py",
    "tests/unit/test_responder.py",
)


def turn_of(nodeid: str) -> str:
    """
    Return what a test runs together with: its file, or its folder where that is one turn.
    """
    file = nodeid.partition("::")[0]
    return EMBEDDED if file.startswith(f"{EMBEDDED}/") else file


def rank(nodeid: str) -> int:
    """
    Return when a test's turn begins: the long ones in their order, and then all others.
    """
    turn = turn_of(nodeid)
    return LONG.index(turn) if turn in LONG else len(LONG)


class Turns(LoadScopeScheduling):  # type: ignore[misc] # xdist publishes no types
    """
    Hands the tests to the workers a turn at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Name what a test must run together with; xdist asks its subclasses for this."""
        return turn_of(nodeid)
