"""
Which tests run in one worker, one after the other, and which begin first.

What tests share (an embedded account, a seed that has run) is made again in each worker that needs
it. So the tests of a file stay together; and the long files begin first, so that no worker is left
alone with one at the end. xdist's own mark for this, `xdist_group`, has no effect here: xdist 3.8
writes the group into an attribute of the test that pytest 9.2 does not read.

There are more workers than cores, because those with an embedded account mostly wait for its time
to pass. It passes no faster than a busy machine can follow (`drainer/simulation/warp`).
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

# What takes longer than some seconds, the longest first. Those with an embedded account wait, and
# stand between those that compute, so that two of four workers always have something to compute.
LONG = (
    "tests/integration/test_custom_resource_deployed.py",
    "tests/security/test_forgery.py",
    "tests/simulation/test_simulate.py",
    "tests/integration/test_spot_interruption.py",
    "tests/simulation/test_mutations.py",
    "tests/integration/test_examples_deployed.py",
    "tests/integration/test_deployed.py",
    "tests/integration/test_fargate_spot_deployed.py",
    "tests/infra/test_package.py",
    "tests/infra/test_release.py",
    "tests/simulation/test_drains.py",
    "tests/simulation/test_custom_resource.py",
    "tests/simulation/test_nets.py",
    "tests/simulation/test_attacked.py",
    "tests/fuzz/test_fuzz.py",
    "tests/mutation/test_mutation.py",
    "tests/security/test_permissions.py",
    "tests/security/test_redriven.py",
    "tests/adopt/test_story.py",
    "tests/unit/test_task_set.py",
    "tests/contract/test_records.py",
    "tests/unit/test_may_leave.py",
    "tests/simulation/test_record_stories.py",
    "tests/unit/test_events.py",
    "tests/test_prose.py",
    "tests/simulation/test_spot_seeds.py",
    "tests/infra/test_pipelines.py",
    "tests/infra/test_spot.py",
    "tests/infra/test_templates.py",
    "tests/unit/test_redrive.py",
    "tests/unit/test_responder.py",
)
# Long files whose tests share nothing: each function is a turn of its own.
SPLIT = ("tests/security/test_forgery.py",)


def turn_of(nodeid: str) -> str:
    """
    Return what a test runs together with: its file, or its function where files are split.
    """
    file = nodeid.partition("::")[0]
    return nodeid.partition("[")[0] if file in SPLIT else file


def rank(nodeid: str) -> int:
    """
    Return when a test's turn begins: the long ones in their order, and then all others.
    """
    file = nodeid.partition("::")[0]
    return LONG.index(file) if file in LONG else len(LONG)


class Turns(LoadScopeScheduling):  # type: ignore[misc] # xdist publishes no types
    """
    Hands the tests to the workers a turn at a time.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Name what a test must run together with; xdist asks its subclasses for this."""
        return turn_of(nodeid)
