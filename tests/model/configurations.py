"""
Within which bounds the protocol is tried, and what shows when one of its rules is taken away.

What a budget names are faults, each of which may happen at any step: `duplicate` and `loss` of any
message (lost also means delayed without bound), `crash` of a pass, a write that is not made
(`unwritten`) or made without an answer (`unanswered`), a `slow` pass that lasts into the next
tick, `aws` calls that fail, `stale` looks, an action ended by `hand`, `wake_up`s, an instance that
somebody sets `active` and messages that somebody has `forged`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.model.explore import Verdict, check
from tests.model.protocol import Model
from tests.model.values import UNTIMED


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    A configuration.

    Attributes:
        within: In how many ticks the answer must come once faults have stopped; 0 for any. Six are
            a period of the sweep and a hop.
        apart: For how many ticks two messages may be under way.
        settings: Of the model.
    """

    within: int
    apart: int
    settings: dict[str, Any]

    def check(self, variant: str = "", **changed: Any) -> Verdict:
        """Walk all states."""
        settings = {**self.settings, **changed, "variant": variant}
        return check(lambda: Model(**settings), within=self.within, apart=self.apart)


@dataclass(frozen=True, slots=True)
class Variant:
    """
    The protocol without one of its rules.

    Attributes:
        rule: What is taken away.
        bounds: In which configuration it shows.
        breaks: Which property breaks.
        changed: What of the configuration is changed, so that it shows sooner.
    """

    rule: str
    bounds: str
    breaks: str
    changed: dict[str, Any]

    def check(self, name: str) -> Verdict:
        """Walk until the property breaks."""
        return (CONFIGURATIONS | DEEP)[self.bounds].check(name, **self.changed)


def _bounds(within: int, apart: int, **settings: Any) -> Bounds:
    return Bounds(within, apart, settings)


TWO: dict[str, Any] = {"work": 1, "actions": 2, "hand": 1}
KNOWN: dict[str, Any] = {**TWO, "discover": False}  # no notification is lost for ever
NO_SWEEP: dict[str, Any] = {"work": 1, "sweeps": False}

CONFIGURATIONS = {
    "forks": _bounds(0, 6, work=UNTIMED, duplicate=2, slow=1),
    "forks-crash": _bounds(0, 6, work=UNTIMED, duplicate=1, crash=1),
    "duplicates": _bounds(7, 4, work=2, duplicate=2, loss=1),
    "crashes": _bounds(6, 4, work=1, crash=3),
    "crashes-duplicate": _bounds(7, 7, work=1, crash=1, duplicate=1, slow=1),
    "losses": _bounds(7, 4, work=1, loss=2, crash=1),
    "losses-aws": _bounds(7, 4, work=1, loss=1, crash=1, aws=1),
    "wake-ups": _bounds(7, 4, work=1, wake_up=2, loss=1, crash=1),
    "writes": _bounds(7, 7, work=1, unwritten=1, unanswered=1, duplicate=1),
    "writes-loss": _bounds(6, 4, work=1, unwritten=2, loss=1, slow=1),
    "outage": _bounds(6, 6, work=1, hook=6, outage=9, duplicate=1),
    "outage-crash": _bounds(6, 6, work=1, hook=6, outage=9, crash=1),
    "down-for-ever": _bounds(
        4, 2, work=1, hook=7, deadline=9, discover=False, outage=1, forever=True, crash=1
    ),
    "no-writes-for-ever": _bounds(
        4,
        4,
        work=1,
        hook=7,
        deadline=9,
        discover=False,
        outage=1,
        refuses_writes=True,
        forever=True,
        crash=1,
        duplicate=1,
    ),
    "no-sweep": _bounds(4, 4, crash=2, unanswered=1, unwritten=1, **NO_SWEEP),
    "deadline": _bounds(12, 4, work=9, deadline=7, loss=1, unwritten=1),
    # A pass that dies between the end that it writes and its answer moves the deadline once more.
    "deadline-outage": _bounds(7, 6, work=9, deadline=6, outage=8, crash=1, moves=2),
    "two": _bounds(6, 4, gap=0, duplicate=1, loss=1, **KNOWN),
    "two-crash": _bounds(6, 4, gap=0, crash=1, unwritten=1, **KNOWN),
    "two-outage": _bounds(6, 4, gap=0, outage=3, loss=1, **KNOWN),
    "two-gap": _bounds(10, 4, gap=3, loss=1, **TWO),
    "active": _bounds(8, 4, work=2, active=1, duplicate=1, loss=1),
    "active-writes": _bounds(8, 6, work=2, active=1, loss=1, unwritten=1),
    "stale": _bounds(7, 4, work=1, stale=2, loss=1),
    "stale-deadline": _bounds(7, 4, work=9, deadline=4, stale=2, crash=1, moves=2),
    "forged": _bounds(7, 4, work=1, forged=1, loss=1, duplicate=1),
    "forged-no-sweep": _bounds(4, 4, forged=1, crash=1, **NO_SWEEP),
}
DEEP = {
    "forks-crashes": _bounds(0, 6, work=UNTIMED, duplicate=1, crash=2),
    "crashes-slow": _bounds(7, 7, work=1, crash=2, duplicate=1, slow=1),
    "losses-all": _bounds(7, 4, work=1, loss=2, crash=1, wake_up=1, aws=1),
    "writes-crash": _bounds(7, 7, work=1, unwritten=1, unanswered=1, crash=1, duplicate=1),
    "outage-all": _bounds(6, 6, work=1, hook=6, outage=9, duplicate=1, crash=1),
    "deadline-writes": _bounds(12, 4, work=9, deadline=7, loss=1, unwritten=2),
    "two-gap-lost": _bounds(10, 6, gap=3, loss=2, **TWO),
    "outlived": _bounds(
        0, 6, work=9, deadline=6, hook=3, expires=True, actions=2, gap=3, hand=1, loss=2, moves=2
    ),
    "active-slow": _bounds(8, 4, work=2, active=1, duplicate=1, loss=1, slow=1),
}
# The smallest, for the tests of every day.
SMALL = {
    "crash": _bounds(6, 4, work=1, crash=1),
    "duplicate": _bounds(0, 4, work=UNTIMED, duplicate=1, crash=1, sweeps=False),
    "write": _bounds(4, 4, unwritten=1, unanswered=1, duplicate=1, **NO_SWEEP),
    "table": _bounds(6, 6, work=1, hook=5, outage=6, sweeps=False, crash=1),
}

VARIANTS = {
    "publishes-first": Variant("the write comes before the publication", "forks", "FORK", {}),
    "republishes": Variant("a duplicate publishes nothing", "forks", "FORK", {}),
    "no-takeover": Variant("what is silent is taken over", "no-sweep", "STUCK", {}),
    "takeover-publishes": Variant(
        "a takeover whose write has an unknown result publishes nothing",
        "no-writes-for-ever", "FORK",
        {"work": UNTIMED, "deadline": UNTIMED, "hook": UNTIMED, "sweeps": False, "crash": 0},
    ),
    "no-pass-id": Variant("a writer knows its own write again", "no-sweep", "STUCK", {}),
    "pass-takes-all": Variant(
        "a pass leaves the token alone", "losses", "TOKEN LOST", {"crash": 0}
    ),
    "any-hop": Variant(
        "without a token a hop is believed as far as passes can have led", "forged-no-sweep",
        "STUCK", {"work": 3},
    ),
    "believes-generation": Variant(
        "a token that is not the record's is proven, whatever generation is named", "forged",
        "ENDED", {},
    ),
    "unproven": Variant(
        "an unknown token is proven before it replaces a record", "two", "LOST", {}
    ),
    "refusal-ends": Variant("a refused token ends no record", "two-gap-lost", "ENDED", {}),
    "joins-later": Variant(
        "a token joins no record that began before its action", "two-gap-lost", "ENDED", {}
    ),
    "no-generation": Variant("messages and writes name the generation", "two", "ENDED", {}),
    "trusts-silence": Variant(
        "without a token nothing is believed over a silence", "two-gap-lost", "OTHER'S DRAINING",
        {"work": 2},
    ),
    "inherits": Variant(
        "what is silent for longer than its hook waits begins another generation", "outlived",
        "OTHER'S DEADLINE", {},
    ),
    "answers-first": Variant(
        "without a token the end is written before the answer", "two-gap-lost",
        "OTHER'S DEADLINE", {"deadline": 6, "crash": 1, "hand": 0, "loss": 2, "work": 9},
    ),
    "looks-end": Variant(
        "what two looks find not to wait is asked by a heartbeat", "stale", "ENDED", {}
    ),
    "looks-count-late": Variant(
        "past the deadline a drain that knows its token is answered whatever was seen",
        "stale-deadline", "ENDED", {},
    ),
    "no-second-read": Variant(
        "the record is read again before the answer", "active", "EARLY", {"loss": 0}
    ),
    "drains-first": Variant(
        "what was seen ACTIVE again is written before it is set DRAINING", "active", "EARLY",
        {"loss": 0},
    ),
    "creates-late": Variant(
        "the sweep creates the record before the first heartbeat", "deadline", "NO DEADLINE",
        {"unwritten": 2},
    ),
    "fails-unread": Variant("a pass goes on without the table", "outage", "EXPIRED", {}),
    "only-the-key": Variant("messages carry the whole drain", "outage", "EXPIRED", {}),
    "no-answer-unread": Variant(
        "a drain that knows its token is answered without the table", "down-for-ever", "LATE", {}
    ),
}  # fmt: skip
