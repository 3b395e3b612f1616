"""
Change the hooks of five old drainers with drains under way: `make adopt-seeds`.

    --seeds N           so many seeds, from 0
    --seed N            one of them, with all that the drainer did wrong
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from drainer.cli.bench.cdk import published
from tests.adopt.story import Story

SEEDS = 200


def main() -> int:
    """Run the seeds, and say how each kind of drain ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    cdk = published()
    source = "" if isinstance(cdk, str) else cdk.source
    said = f"a model of it ({cdk})" if isinstance(cdk, str) else f"its own, {cdk.version}"
    sys.stdout.write(f"aws-cdk's handler: {said}\n")

    seeds = range(options.seeds) if options.seed is None else [options.seed]
    counts, faults, wrong = Counter[str](), Counter[str](), list[str]()
    for seed in seeds:
        outcome = Story(seed, source).run()
        counts += outcome.counts
        faults += outcome.faults
        wrong += [f"seed {seed}: {one}" for one in outcome.wrong]
    for name, count in sorted(counts.items()):
        sys.stdout.write(f"{count:6} {name}\n")
    sys.stdout.write(f"{faults.total():6} faults, {len(wrong)} wrong by the drainer\n")
    for one in wrong[:20]:
        sys.stdout.write(f"FAILED {one}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
