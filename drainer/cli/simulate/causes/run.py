"""
One seed: its account runs, `explain` looks at its drains at random moments, and is judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from random import Random
from typing import TYPE_CHECKING

from drainer.cli.explain.causes import Cause
from drainer.cli.explain.judge import BEHIND_THE_AGENT
from drainer.cli.explain.reader import NotFoundError, explainable
from drainer.cli.explain.reads import Reads
from drainer.cli.explain.show import explained
from drainer.cli.simulate.causes.answers import STACK, Answers
from drainer.cli.simulate.causes.score import Look, Score
from drainer.cli.simulate.causes.story import MANAGED_HOOK, OWN_HOOK, Story
from drainer.cli.simulate.causes.truth import (
    BEING_REPLACED,
    NEXT_LOOK,
    Named,
    TooEarlyError,
    truth,
)

if TYPE_CHECKING:
    from datetime import datetime

    from drainer.cli.explain.finding import Finding
    from drainer.cli.simulate.causes.answers import Heard
    from drainer.cli.simulate.causes.story import Drain
    from drainer.simulation.scenario.installation import Build

LOOKS_A_DRAIN = 3
# Moments are drawn evenly by their logarithm: drains change most at their beginning.
SOONEST_SECONDS, LATEST_SECONDS = 5.0, 5_000.0
# After a loss there are looks more, between its first sign and the sweep.
LOSS_SHOWS_SECONDS = 90.0, 300.0
# Of ECS, where a definition says nothing else.
STOP_DEFAULT = timedelta(seconds=30)
# A drain that has not ended by then has no end to compare with.
UNTIL = timedelta(hours=5)
REPLACED = frozenset(
    {
        Cause.STARTING,
        Cause.ON_COURSE,
        Cause.DESIRED_ONE,
        Cause.GRACE_PERIOD,
        Cause.DEPLOYMENT_IN_PROGRESS,
    }
)


@dataclass
class Seen:
    """A look, and the estimate whose truth is known later."""

    look: Look
    drain: Drain
    at: datetime
    expected_at: datetime | None


@dataclass
class Outcome:
    """What a seed came to."""

    looks: list[Look] = field(default_factory=list)
    drains: int = 0
    too_early: int = 0
    surprised: int = 0


def run_seed(seed: int, build: Build, heard: Heard = lambda *_: None) -> Outcome:
    """
    Run a seed's account; return what `explain` said of it, and the truth.

    Args:
        seed: decides the account.
        build: makes the drainer's function.
        heard: told of each answer that `explain` gets.
    """
    story = Story(seed, build)
    random = Random(f"moments {seed}")  # noqa: S311 (has a seed)
    outcome, answers = Outcome(), Answers(story, heard)
    low, high = math.log(SOONEST_SECONDS), math.log(LATEST_SECONDS)
    seen: list[Seen] = []

    def look(drain: Drain) -> None:
        try:
            one = _look(story, answers, drain)
        except TooEarlyError:
            outcome.too_early += 1
            return
        if one is not None:
            seen.append(one)

    def begun(drain: Drain) -> None:
        for _ in range(LOOKS_A_DRAIN):
            seconds = math.exp(random.uniform(low, high))
            story.account.after(seconds, lambda: look(drain))

    def lost(drain: Drain) -> None:
        # A sweep takes it up again within minutes.
        for _ in range(LOOKS_A_DRAIN):
            story.account.after(random.uniform(*LOSS_SHOWS_SECONDS), lambda: look(drain))

    story.on_drain.append(begun)
    story.on_loss.append(lost)
    story.account.advance_to(story.begins_at + UNTIL)
    outcome.drains = len(story.drains)
    for one in seen:
        error = _error(story, one)
        is_surprised = error is not None and _is_surprised(story, one)
        outcome.surprised += is_surprised
        outcome.looks.append(replace(one.look, error=None if is_surprised else error))
    return outcome


def score_of(outcomes: list[Outcome]) -> Score:
    """Return the score of seeds."""
    score = Score()
    for outcome in outcomes:
        score.seeds += 1
        score.drains += outcome.drains
        score.too_early += outcome.too_early
        score.surprised += outcome.surprised
        for look in outcome.looks:
            score.add(look)
    return score


def _look(story: Story, answers: Answers, drain: Drain) -> Seen | None:
    """Let `explain` look; None where the instance is gone."""
    if drain.instance.lifecycle_state.startswith(("Terminating:Proceed", "Terminated")):
        return None
    true = truth(story, drain)
    try:
        facts = explainable(Reads(answers.client), drain.id, None, STACK, story.now)
    except NotFoundError:
        return None
    one = explained(facts, UTC)
    found = {_named(finding) for finding in (*one.verdict.findings, *one.verdict.background)}
    if Named(Cause.AGENT_DISCONNECTED) in found:
        # What waits for the agent is told beside it.
        found = {named for named in found if named.cause not in BEHIND_THE_AGENT}
    seconds = (story.now - drain.began_at).total_seconds()
    where = f"seed {story.seed} +{seconds:.0f} s, {drain.id}, by {story.by}"
    look = Look(where, frozenset(found), frozenset(true))
    return Seen(look, drain, story.now, one.estimate.at)


def _named(finding: Finding) -> Named:
    if finding.cause == Cause.ON_COURSE and not finding.name:
        return Named(NEXT_LOOK)
    if finding.cause in REPLACED:
        return Named(BEING_REPLACED, finding.name)
    # Of several jobs it names the first only.
    return Named(finding.cause, "" if finding.cause == Cause.STANDALONE_TASK else finding.name)


def _error(story: Story, seen: Seen) -> float | None:
    """Return how wrong an estimate was, as a part of the time that was left."""
    end = _ended_at(story, seen.drain)
    if seen.expected_at is None or (end is not None and end <= seen.at):
        return None
    if end is None:
        return math.inf
    left = (end - seen.at).total_seconds()
    return abs((seen.expected_at - end).total_seconds()) / left


def _is_surprised(story: Story, seen: Seen) -> bool:
    """Whether a mishap began after the look and before the end, so that no reader could know it."""
    drain, action = seen.drain, seen.drain.action(OWN_HOOK)
    endless = [
        fact.at + STOP_DEFAULT
        for name, life in story.lives.items()
        if life.mean.stop_timeout_seconds == math.inf
        for fact in story.account.facts("task", owner=f"service:{name}", last_status="STOPPING")
        if fact.about["ec2_instance_id"] == drain.id
    ]
    mishaps = [
        story.disconnected_at.get(drain.id),
        story.broken_at if action else None,
        story.lost_at.get(action.token) if action else None,
        *(at for at, _ in story.crashed),
        *endless,
    ]
    end = _ended_at(story, drain)
    return any(at and seen.at < at and (end is None or at < end) for at in mishaps)


def _ended_at(story: Story, drain: Drain) -> datetime | None:
    """Return when a drain was over: its hook was answered, or by hand its last task stopped."""
    action = drain.action(OWN_HOOK) or drain.action(MANAGED_HOOK)
    if action is not None:
        return action.ended_at
    stopped = [
        fact.at
        for fact in story.account.facts("task", ec2_instance_id=drain.id)
        if fact.about["last_status"] == "STOPPED"
    ]
    left = story.account.ecs.remaining_tasks(drain.id)
    return None if left or not stopped else max(stopped)
