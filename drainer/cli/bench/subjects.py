"""
The bench's subjects: the drainer as shipped and with less, aws-cdk's handler, the sample style.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from drainer.cli.bench import cdk, ours, sample
from drainer.cli.bench.outcome import Subject

if TYPE_CHECKING:
    from drainer.cli.bench.cdk import Published

SHIPPED, SWEEP, CHAIN, CDK, SAMPLE, DROPPED = (
    *("shipped", "sweep", "chain", "aws-cdk", "sample", "dropped"),
)
OURS = (SHIPPED, SWEEP, CHAIN)
EXPLAINED = {
    SHIPPED: "the drainer as infra/drainer.yaml ships it: fast path and sweep on",
    SWEEP: "the drainer with the sweep, without the fast path",
    CHAIN: "the drainer with neither: only its chain of messages",
    CDK: "aws-cdk's InstanceDrainHook, drain time 15 minutes (its most)",
    SAMPLE: "a model of the sample style, with RecursiveLoop: Allow",
    DROPPED: "the same with Lambda's default: a chain ends after about 16 invocations",
}


def subjects(published: Published | str) -> dict[str, Subject]:
    """Return who can be run; aws-cdk's handler is absent if it could not be had."""
    runs = {
        SHIPPED: partial(ours.run, sources=ours.Sources()),
        SWEEP: partial(ours.run, sources=ours.Sources(fast_path=False)),
        CHAIN: partial(ours.run, sources=ours.Sources(fast_path=False, sweep=False)),
        SAMPLE: partial(sample.run, loops=True),
        DROPPED: partial(sample.run, loops=False),
    }
    if not isinstance(published, str):
        runs[CDK] = partial(cdk.run, source=published.source)
    return {key: Subject(key, run) for key, run in runs.items()}
