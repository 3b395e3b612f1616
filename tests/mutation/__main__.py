"""
Change the product in one place at a time, and see whether the unit tests notice.

`make mutate [FILES=drainer/drain/finder.py] [SAMPLE=200]`. Ends with 1 if the score of all files
together is below --at-least. Only tests/unit is asked by default: a simulation notices most
mutants too, but takes minutes, and does not say which line is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.mutation import equivalents
from tests.mutation.forks import shared
from tests.mutation.recording import ENDLESS_SECONDS, KEPT, Project, recordings
from tests.mutation.running import judge
from tests.mutation.sites import Mutant, mutants
from tests.mutation.verdicts import UNTESTED, detected

if TYPE_CHECKING:
    from tests.mutation.equivalents import Equivalent

Verdicts = dict[tuple[str, int], str]  # by path and number
AT_LEAST = 90.0
SEED = 1
PRODUCT = "drainer"
# The decisions. What calls AWS, reads settings or reports is tested against doubles of AWS instead.
ROOMS = ("drain", "lifecycle", "custom_resource", "spot")
NOT_DECISIONS = ("__*", "handler.py", "config.py", "telemetry.py", "clock.py", "aws*")
# Slow to import, and not ours: imported once, before anything forks.
WARM = ("boto3", "botocore.session", "hypothesis", "aws_lambda_powertools", "yaml")


def targets(root: Path) -> list[str]:
    """
    The files of the decision core: the rooms' where there are rooms, or else the package's own.
    """
    rooms = [root / PRODUCT / room for room in ROOMS if (root / PRODUCT / room).is_dir()]
    found = [path for room in rooms for path in room.rglob("*.py")]
    found = found or list((root / PRODUCT).glob("*.py"))
    return sorted(
        path.relative_to(root).as_posix()
        for path in found
        if not any(fnmatch(path.name, pattern) for pattern in NOT_DECISIONS)
    )


def sources(root: Path, name: Path) -> list[str]:
    """
    A file, or the files of a folder.
    """
    found = sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]
    return [path.relative_to(root).as_posix() for path in found]


def say(line: str) -> None:
    """
    Say how far it is.
    """
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def judge_all(project: Project, chosen: list[Mutant], jobs: int) -> Verdicts:
    """
    The verdict on each mutant: each job takes its share of every file.
    """
    paths = sorted({mutant.path for mutant in chosen})
    with tempfile.TemporaryDirectory(prefix="mutation-") as where:
        tempfile.tempdir = os.environ["TMPDIR"] = where

        def work(job: int) -> None:
            for number, path in enumerate(paths, 1):
                share = [one for one in chosen if one.path == path][job::jobs]
                found = judge(project, path, share, Path(where, f"told-{job}"))
                kept = json.dumps(list(found.items()))
                Path(where, f"{job}-{number}.json").write_text(kept, encoding="utf-8")
                if job == 0:
                    say(f"{number} of {len(paths)}: {path}")

        shared(jobs, work)
        return {
            (path, number): verdict
            for place, path in enumerate(paths, 1)
            for job in range(jobs)
            for number, verdict in json.loads(Path(where, f"{job}-{place}.json").read_text())
        }


@dataclass(frozen=True)
class Count:
    """
    How the mutants of a file, or of several, came out.
    """

    killed: int
    survived: int
    equivalent: int

    @property
    def score(self) -> float:
        """Of a hundred mutants that a test can detect, how many one does."""
        detectable = self.killed + self.survived
        return 100.0 * self.killed / detectable if detectable else 100.0

    def row(self, name: str) -> str:
        total = self.killed + self.survived + self.equivalent
        counts = f"{total:>9}{self.killed:>9}{self.survived:>10}{self.equivalent:>12}"
        return f"{name:<44}{counts}{self.score:>8.1f}"


def report(chosen: list[Mutant], verdicts: Verdicts, listed: list[Equivalent]) -> float:
    """
    Print the table and the survivors; the score of all files together.
    """
    known = {one.key for one in listed}
    alive = [one for one in chosen if not detected(verdicts[one.path, one.number])]
    counts = {}
    for path in sorted({one.path for one in chosen}):
        left = [one for one in alive if one.path == path]
        equivalent = sum(one.key in known for one in left)
        killed = sum(one.path == path for one in chosen) - len(left)
        counts[path] = Count(killed, len(left) - equivalent, equivalent)
    together = Count(
        sum(one.killed for one in counts.values()),
        sum(one.survived for one in counts.values()),
        sum(one.equivalent for one in counts.values()),
    )
    say("\nsurvivors:")
    for one in alive:
        if one.key not in known:
            untested = verdicts[one.path, one.number] == UNTESTED
            say(f"  {one}" + (f"  ({UNTESTED})" if untested else ""))
    heads = f"{'mutants':>9}{'killed':>9}{'survived':>10}{'equivalent':>12}{'score':>8}"
    say(f"\n{'file':<44}{heads}")
    for path, count in counts.items():
        say(count.row(path))
    say(together.row("together"))
    return together.score


def main(arguments: list[str], root: Path) -> int:
    """
    Run as asked for; what the process ends with.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--files", nargs="*", default=[], help="paths; the decision core if none")
    parser.add_argument("--tests", default="tests/unit", help="where the test files are")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sample", type=int, default=0, help="try as many only, chosen by --seed")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--at-least", type=float, default=AT_LEAST, help="per cent")
    parser.add_argument("--endless", type=float, default=ENDLESS_SECONDS, help="seconds at least")
    parser.add_argument("--product", default=PRODUCT, help="the package whose lines are recorded")
    parser.add_argument("--equivalents", type=Path, default=equivalents.LIST)
    asked = parser.parse_args(arguments)
    # Compiled once: this counts for the many processes to come.
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(root / KEPT / "pycache")
    for name in WARM:
        importlib.import_module(name)
    # A listed folder stands for its files.
    paths = [path for name in asked.files for path in sources(root, Path(name))] or targets(root)
    tests = sorted(
        path.relative_to(root).as_posix() for path in (root / asked.tests).rglob("test_*.py")
    )
    jobs = max(1, asked.jobs)
    recorded = recordings(root, asked.product, tests, jobs, say)
    project = Project(root, recorded, asked.endless)
    every = [one for path in paths for one in mutants(path, project.source(path))]
    chosen = every
    if 0 < asked.sample < len(every):
        places = sorted(Random(asked.seed).sample(range(len(every)), asked.sample))  # noqa: S311
        chosen = [every[place] for place in places]
    verdicts = judge_all(project, chosen, jobs)
    listed = equivalents.read(asked.equivalents.read_text(encoding="utf-8"))
    score = report(chosen, verdicts, listed)
    survivors = {one.key for one in chosen if not detected(verdicts[one.path, one.number])}
    stale = equivalents.outdated(listed, every, {one.key for one in chosen}, survivors)
    for line in stale:
        say(f"tests/mutation/equivalent.toml: {line}")
    return int(score < asked.at_least or bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
