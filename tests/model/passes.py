"""
The steps of a pass, as the controller and the recorder make them.

What is admitted, decided, carried on and stored is asked of the product (concrete.py). Here is in
which order a pass calls Auto Scaling, ECS, the table and the topic, which write each admission
leads to, and what becomes of the message; and each rule that a variant takes away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from drainer.drain.admission import Admission
from drainer.drain.conditional_write import CREATIONS, Demand
from tests.model import concrete
from tests.model.values import (
    ACCEPTED,
    ACT,
    AGAIN,
    AHEAD_MAX,
    ANSWER,
    ANSWERED,
    BEHIND,
    COMPLETE,
    CREATE,
    DRAIN,
    END,
    END_FIRST,
    FAILED,
    FAR,
    LOOK,
    MESSAGE,
    NOT_ACTIVE,
    NOT_SENT,
    OLDER,
    OPEN,
    OVER,
    PAST,
    PRESENT,
    PUBLISH,
    REDELIVERY_TICKS,
    REOPEN,
    RETRY,
    ROUND,
    SET_DRAINING,
    STOP,
    SWEEP,
    UNNAMED,
    UNTIMED,
    WAKE_UP,
    WRITE,
    Facts,
    Look,
    Msg,
    Pass,
    Plan,
    Rec,
    State,
    add,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.bounds import Bounds

NEW, DUE, TAKEOVER = Admission.NEW, Admission.DUE, Admission.TAKEOVER
JOIN, UNREAD = Admission.JOIN, Admission.UNREAD
STEP, FAULT, TICK = range(3)  # kinds of edges


class Edge(NamedTuple):
    """What may happen next."""

    label: str
    kind: int
    state: State
    violation: str = ""


class Written(NamedTuple):
    """What came of a write that reached the table: the state and the pass after it."""

    made: bool
    state: State
    one: Pass


class Turn:
    """
    The next step of one pass.

    Args:
        model: The bounds, and the rule that is taken away.
        state: The state without this pass.
        one: The pass.
    """

    def __init__(self, model: Bounds, state: State, one: Pass) -> None:
        self.model, self.s, self.p, self.variant = model, state, one, model.variant
        self.who = name(one)

    def steps(self) -> Iterator[Edge]:
        """Yield all that the next step can lead to."""
        yield from (
            self.read, self.look, self.read_again, self.end_first, self.answer, self.create,
            self.act, self.write, self.repeat, self.publish, self.set_draining, self.end,
            self.reopen,
        )[self.p.step]()  # fmt: skip

    # -- how a step ends

    def to(
        self,
        label: str,
        p: Pass,
        s: State | None = None,
        kind: int = STEP,
        bad: str = "",
    ) -> Edge:
        """Go on with this pass."""
        s = s or self.s
        return Edge(f"{self.who} {label}", kind, s._replace(passes=add(s.passes, p)), bad)

    def leaves(self, label: str, s: State | None = None, kind: int = STEP, bad: str = "") -> Edge:
        """Acknowledge the message."""
        s, m = s or self.s, self.p.message
        action, rec = s.action, s.rec
        if m and m.facts.token and action.alive and m.facts.whose == action.number:
            kept = rec and not rec.end and rec.facts.token in (0, action.number)
            if not (kept or self.p.published or under_way(s)):
                bad = bad or "LOST: acknowledged with neither a message nor an open record"
        return Edge(f"{self.who} {label}", kind, s, bad)

    def fails(self, label: str, s: State | None = None, kind: int = STEP) -> Edge:
        """Have the message delivered again."""
        s = s or self.s
        return Edge(f"{self.who} {label}", kind, again(s, self.p))

    def has(self, fault: str) -> bool:
        return self.model.has(self.s, fault)

    def spend(self, fault: str, s: State | None = None) -> State:
        return self.model.spend(s or self.s, fault)

    def facts(self) -> Facts:
        assert self.p.facts
        return self.p.facts

    # -- reading

    def read(self) -> Iterator[Edge]:
        s, p, down = self.s, self.p, self.s.down == 1
        if p.serves != MESSAGE and not self.asks(down=down):
            yield self.leaves("has nothing to do")
            return
        if down and self.fails_unread():
            yield self.fails("cannot read the record; its message comes again")
            return
        admission, facts, hop = self.admitted(down)
        if not admission.goes_on:
            yield self.left(admission)
            return
        rec = () if down else s.rec
        read = p._replace(
            step=LOOK,
            admission=admission,
            facts=facts,
            hop=hop,
            same_generation=int(rec != ()),
            same_hop=int(rec != ()),
            found=rec.end if rec else -1,
            age=rec.age if rec and (admission == JOIN or not facts.token) else 0,
        )
        if self.variant == "unproven" and admission == NEW and rec and facts.token:
            yield self.to("believes its token", read._replace(step=WRITE, heartbeat=ACCEPTED))
            return
        yield self.to(f"reads: {admission}", read)

    def asks(self, *, down: bool) -> bool:
        """Whether a sweep or a wake-up finds something."""
        rec, waits = self.s.rec, self.s.action.alive and self.model.discover
        if down:
            return False
        return bool(rec and not rec.end) or bool(self.p.serves == SWEEP and waits)

    def fails_unread(self) -> bool:
        m = self.p.message
        only_key = self.variant == "only-the-key" and m and m.generation != UNNAMED
        return bool(self.variant == "fails-unread" or only_key)

    def admitted(self, down: bool) -> tuple[Admission, Facts, int]:
        """Ask the product, or what is left of it without one of its rules."""
        m, rec, v = self.p.message, () if self.s.down == 1 else self.s.rec, self.variant
        generation, hop, facts = (m.generation, m.hop, m.facts) if m else (UNNAMED, 0, None)
        hook = 0 if v == "inherits" else min(self.model.hook, concrete.HOOK_TICKS)
        if v == "no-generation" and generation == OLDER:
            generation = PRESENT
        if facts and rec and v == "joins-later":
            facts = facts._replace(whose=min(facts.whose, rec.facts.whose))
        if facts and rec and v == "believes-generation" and generation == PRESENT:
            admission, known, hop = concrete.admitted(
                MESSAGE, PRESENT, hop, facts._replace(token=0), rec, hook, int(down)
            )
            return admission, known._replace(token=known.token or facts.token), hop
        if v == "any-hop" and facts and rec and not rec.end and hop >= 0 and not facts.token:
            return DUE, rec.facts, hop
        admission, known, hop = concrete.admitted(
            self.p.serves, generation, hop, facts, rec, hook, int(down)
        )
        if admission == TAKEOVER and v == "no-takeover" and m:
            admission = Admission.DUPLICATE
        if v == "trusts-silence" and admission == TAKEOVER and rec:
            known = known._replace(since=rec.facts.since, listed=rec.facts.listed)
        return admission, self.completed(known), hop

    def completed(self, facts: Facts) -> Facts:
        """Fill in what the product has said by the time of this pass."""
        action = self.s.action
        if facts.whose == concrete.JUST_NOW:
            facts = facts._replace(whose=action.number)
        if facts.since == concrete.JUST_NOW:
            facts = facts._replace(since=action.period)
        if facts.deadline == concrete.UNFIXED:
            facts = facts._replace(deadline=self.model.deadline)
        return facts

    def left(self, admission: Admission) -> Edge:
        s, rec = self.s, self.s.rec
        duplicate = admission == Admission.DUPLICATE and self.p.serves == MESSAGE
        if self.variant == "republishes" and duplicate and rec:
            following = Msg(1, PRESENT, 0, 0, rec.facts)
            s = s._replace(messages=add(s.messages, following))
            return self.leaves("is a duplicate; publishes what the record says is next", s)
        return self.leaves(f"reads: {admission}; acknowledges")

    # -- looking

    def look(self) -> Iterator[Edge]:
        """Send the heartbeat that does not wait for the look, look, and decide."""
        yield self.looked(int(self.s.action.alive))
        # Of what has no record two stale looks are believed: the listing finds it again.
        recorded = self.p.admission in (DUE, TAKEOVER)
        if recorded and self.has("stale") and self.s.action.alive:
            yield self.looked(0, "sees by a stale answer that nothing waits", "stale")
        if self.has("aws"):
            yield self.looked(-1, "cannot look", "aws")

    def looked(self, waiting: int, label: str = "looks", fault: str = "") -> Edge:
        s, p, facts = self.s, self.p, self.facts()
        action = s.action
        late_by_look = p.admission in (NEW, JOIN)
        copied = p.admission == UNREAD and p.message and p.message.generation != UNNAMED
        early = p.admission in (DUE, TAKEOVER) or copied
        due = facts.token and facts.deadline > 0
        sends = due and ((early and not facts.absent) or (late_by_look and waiting == 1))
        bad, heartbeat = "", NOT_SENT
        if sends:
            heartbeat, s, bad = self.beaten(s, facts)
            heartbeat = FAILED if fault == "aws" else heartbeat
            s = self.s if fault == "aws" else s
        if facts.since and not facts.listed and action.draining and waiting == 1:
            facts = facts._replace(listed=action.period)
        busy = int(bool(action.work) and facts.listed in (0, action.period))
        look = Look(waiting, action.draining, busy, action.period)
        plan = self.planned(facts, look)
        seen = p._replace(
            look=look, plan=plan, heartbeat=heartbeat, step=ACT, facts=facts,
            ended=OVER if heartbeat == NOT_ACTIVE else OPEN,
        )  # fmt: skip
        s = self.spend(fault, s) if fault else s
        told = ("", ", heartbeat", ", heartbeat: not active", ", heartbeat fails")[heartbeat]
        return self.routed(f"{label}{told}", seen, s, bad, FAULT if fault else STEP)

    def proven(self) -> int:
        """Whether Auto Scaling has confirmed the action to an earlier pass."""
        m = self.p.message
        if self.p.admission == UNREAD:
            return int(bool(m and (m.generation != UNNAMED or m.facts.since)))
        return int(self.p.admission not in (NEW, JOIN))

    def planned(self, facts: Facts, look: Look) -> Plan:
        """Ask the product what the look leads to, less what the admission does not allow."""
        p, v = self.p, self.variant
        seen = look._replace(period=0)
        plan = concrete.planned(facts, seen, p.serves, self.proven())
        if v == "looks-end" and plan.step == STOP:
            plan = plan._replace(heartbeat=0)
        if v == "looks-count-late" and facts.deadline <= 0 and facts.absent == 2:
            plan = Plan(STOP, 0, 0, 0) if look.waiting == 0 else plan
        if p.admission == Admission.LOOK:
            step = ROUND if plan.step == DRAIN else plan.step
            return plan._replace(step=step, heartbeat=0)
        unread = p.admission == UNREAD
        if plan.step == COMPLETE and unread and (not facts.token or v == "no-answer-unread"):
            keeps = v == "no-answer-unread" and plan.late and facts.token
            plan = plan if keeps else plan._replace(step=ROUND)
        return plan

    def routed(self, label: str, p: Pass, s: State, bad: str, kind: int) -> Edge:
        """Go to the step that the decision leads to."""
        plan = p.plan
        assert plan
        facts = self.facts()
        if p.ended == OVER or (plan.step == STOP and not plan.heartbeat):
            ended = p._replace(step=END, ended=OVER)
            if not self.ending(ended):
                return self.leaves(f"{label}; acknowledges", s, kind, bad)
            return self.to(label, ended, s, kind, bad)
        if plan.step == COMPLETE:
            first = AGAIN if p.found != -1 and self.variant != "no-second-read" else END_FIRST
            return self.to(label, p._replace(step=first), s, kind, bad)
        if p.admission == Admission.LOOK:
            return self.leaves(f"{label}; leaves the rest to the chain", s, kind, bad)
        if p.admission == UNREAD and not facts.token and facts.deadline <= 0:
            return self.leaves(f"{label}; stops past its deadline", s, kind, bad)
        if p.admission == NEW and not facts.token and self.variant != "creates-late":
            return self.to(label, p._replace(step=CREATE), s, kind, bad)
        if not self.acts(p):
            return self.to(label, p._replace(step=WRITE), s, kind, bad)
        return self.to(label, p, s, kind, bad)

    def acts(self, p: Pass) -> bool:
        """Whether something is left to be done before the record is written."""
        assert p.plan
        if p.heartbeat == NOT_SENT and p.plan.heartbeat:
            return True
        return p.plan.step == DRAIN and (p.heartbeat == ACCEPTED or not p.plan.unproven)

    def beaten(self, s: State, facts: Facts) -> tuple[int, State, str]:
        """Send a heartbeat: what is waited for until when, and whether that moved."""
        a = s.action
        if not (a.alive and facts.token in (0, a.number)):
            return NOT_ACTIVE, s, ""
        bad = ""
        if self.model.timed:
            moved = a.moved + (a.kept > PAST and facts.deadline > a.kept)
            a = a._replace(kept=max(a.kept, facts.deadline), moved=moved)
            if moved > self.model.moves:
                bad = "NO DEADLINE: what keeps the hook waiting moves its deadline again and again"
        return ACCEPTED, s._replace(action=a._replace(hook=self.model.hook)), bad

    # -- answering

    def read_again(self) -> Iterator[Edge]:
        """Do not answer by a record that others have written since."""
        p = self.p
        follows = p.admission not in (NEW, JOIN)  # which go by what they know themselves
        changed = follows and not (p.same_generation and p.same_hop)
        assert p.plan
        if changed and self.s.down != 1:
            yield self.leaves("reads again: others have written since; acknowledges")
        elif follows and p.admission != UNREAD and self.s.down == 1 and not p.plan.late:
            label = "cannot read the record again and does not answer"
            if p.admission == Admission.LOOK:
                yield self.leaves(f"{label}; acknowledges")
            else:
                yield self.to(label, p._replace(step=ACT))
        else:
            first = END_FIRST if not self.facts().token else ANSWER
            yield self.to("reads again", p._replace(step=first))

    def end_first(self) -> Iterator[Edge]:
        """Write the end of what has no token before it is answered."""
        p = self.p
        if self.facts().token or p.found == -1 or self.variant == "answers-first":
            yield from self.answer()
            return
        ended = p._replace(ended=ANSWERED)
        after = self.table(Demand.ENDS_FIRST, ended, self.recorded(ended), None, 0)
        failed = "cannot write the end before the answer; comes again"
        if self.s.down or not after.made:
            yield self.fails(failed)
            return
        if self.has("unwritten"):
            yield self.fails(failed, self.spend("unwritten"), FAULT)
        if self.has("unanswered"):
            yield self.fails(
                f"{failed}, but it is written", self.spend("unanswered", after.state), FAULT
            )
        yield self.to("writes the end first", after.one._replace(step=ANSWER), after.state)

    def answer(self) -> Iterator[Edge]:
        s, p, facts = self.s, self.p, self.facts()
        assert p.plan
        a, written = s.action, p.ended == ANSWERED
        what = "by the deadline" if p.plan.late else "as drained"
        if self.has("aws"):
            label, refused = "is not answered for now", self.spend("aws")
            if written:
                unknown = f"{label}, for all it knows; acknowledges"
                yield self.leaves(unknown, refused, FAULT)
                yield self.to(label, p._replace(step=REOPEN), refused, FAULT)
            elif p.admission == Admission.LOOK:
                yield self.leaves(f"{label}; acknowledges", refused, FAULT)
            else:
                yield self.to(label, p._replace(step=ACT), refused, FAULT)
        if not (a.alive and facts.token in (0, a.number)):
            yield from self.closes(f"answers {what}: not active", p, s, OVER, "")
            return
        bad = self.judged(p, s)
        after = s._replace(action=a._replace(alive=0, hook=self.model.gap))
        yield from self.closes(f"answers {what}", p, after, ANSWERED, bad)

    def reopen(self) -> Iterator[Edge]:
        """Take back the end that was written before an answer which was refused."""
        p, facts = self.p._replace(ended=OPEN), self.facts()
        after = self.table(Demand.REOPENS, p, Rec(OPEN, p.age, facts, 0), p.same_hop, 0)
        if self.s.down or not after.made:
            yield self.leaves("cannot take its end back; acknowledges")
        elif p.admission == Admission.LOOK:
            yield self.leaves("takes its end back; acknowledges", after.state)
        else:
            yield self.to("takes its end back", after.one._replace(step=ACT), after.state)

    def judged(self, p: Pass, s: State) -> str:
        """Return what is wrong with an answer that Auto Scaling takes."""
        a, facts, look = s.action, self.facts(), p.look
        assert p.plan
        assert look
        if p.plan.late:
            return (
                "OTHER'S DEADLINE: answered by another action's deadline" if a.deadline > 0 else ""
            )
        if look.period != a.period:
            return ""  # no record tells what has changed since the look
        if a.work:
            return "EARLY: answered as drained while tasks run"
        other = self.model.owner(facts.listed) != a.number
        return "OTHER'S DRAINING: answered by what was seen of another action" if other else ""

    def closes(self, label: str, p: Pass, s: State, end: int, bad: str) -> Iterator[Edge]:
        written = p.ended == ANSWERED
        ended = p._replace(step=END, ended=end)
        if written or not self.ending(ended):
            yield self.leaves(f"{label}; acknowledges", s, bad=bad)
        else:
            yield self.to(label, ended, s, bad=bad)

    def ending(self, p: Pass) -> Demand | None:
        """Return what the write of the end demands; None where there is none to make."""
        over = p.ended == OVER
        if p.admission == UNREAD:
            return None
        if p.admission == NEW:
            if self.variant == "refusal-ends" and p.found == OPEN and over:
                return Demand.OVER
            return None if over or p.found != -1 else Demand.ABSENT
        if p.admission == JOIN and over and self.variant != "refusal-ends":
            return None
        looked = p.plan and p.plan.step == STOP and p.heartbeat != NOT_ACTIVE
        if looked and p.admission == Admission.LOOK:
            return None
        return Demand.OVER if over else Demand.ENDS

    def end(self) -> Iterator[Edge]:
        """Write down how the drain has ended."""
        demand = self.ending(self.p)
        assert demand is not None
        after = self.table(demand, self.p, self.recorded(self.p), None, 0)
        if self.s.down or not after.made:
            yield self.leaves("cannot write the end; acknowledges")
            return
        if self.has("unwritten"):
            yield self.leaves("cannot write the end; acknowledges", self.spend("unwritten"), FAULT)
        yield self.leaves("writes the end; acknowledges", after.state, bad=self.wrong_end())

    def wrong_end(self) -> str:
        rec, a = self.s.rec, self.s.action
        if not rec or not a.alive or self.p.ended != OVER:
            return ""
        facts = rec.facts
        if not facts.token and facts.deadline <= 0:
            return ""  # a known limit: it has no token, and two looks past its deadline agree
        theirs = facts.token == a.number or (not facts.token and facts.whose == a.number)
        return "ENDED: the record ends of what waits and was not answered" if theirs else ""

    # -- acting

    def create(self) -> Iterator[Edge]:
        """Create the record of what the sweep has found before a heartbeat keeps it waiting."""
        p = self.p
        demand = (
            Demand.ABSENT if p.found == -1
            else Demand.OVERTAKES if p.found == OPEN else Demand.SUCCEEDS
        )  # fmt: skip
        after = self.table(demand, p, Rec(OPEN, 0, self.facts(), 0), None, 0)
        failed = "cannot create the record; stops"
        if self.has("unwritten"):
            yield self.leaves(failed, self.spend("unwritten"), FAULT)
        if self.s.down or not after.made:
            yield self.leaves(failed)
            return
        if self.has("unanswered"):
            yield self.leaves(
                f"{failed}, but it is written", self.spend("unanswered", after.state), FAULT
            )
        due = after.one._replace(step=ACT, admission=DUE, found=OPEN, hop=0, same_hop=1)
        yield self.to("creates the record", due, after.state)

    def act(self) -> Iterator[Edge]:
        """Send the heartbeat that has waited for the look, and set DRAINING."""
        s, p, bad = self.s, self.p, ""
        assert p.plan
        told = "acts"
        if p.heartbeat == NOT_SENT and p.plan.heartbeat:
            heartbeat, s, bad = self.beaten(s, self.facts())
            p = p._replace(heartbeat=heartbeat)
            told = "heartbeat"
            if self.has("aws"):
                failed = self.p._replace(step=WRITE, heartbeat=FAILED)
                yield self.to("heartbeat fails", failed, self.spend("aws"), FAULT)
        if p.heartbeat == NOT_ACTIVE:
            yield from self.closes("heartbeat: not active", p, s, OVER, bad)
            return
        following = CREATE if p.admission == NEW and not self.facts().token else WRITE
        assert p.plan
        if p.plan.step == DRAIN and (p.heartbeat == ACCEPTED or not p.plan.unproven):
            rec = s.rec if p.found != -1 else ()
            since = self.facts().since or (rec and rec.facts.since)
            if since and self.variant != "drains-first":
                p = p._replace(again=1)
            elif p.admission == JOIN and self.variant != "drains-first":
                p = p._replace(again=3)
            else:
                told += ", sets DRAINING"
                s = s._replace(action=s.action._replace(draining=1))
                assert p.look
                p = p._replace(again=2, look=p.look._replace(period=s.action.period))
        yield self.to(told, p._replace(step=following), s, bad=bad)

    def set_draining(self) -> Iterator[Edge]:
        s = self.s
        s = s._replace(action=s.action._replace(draining=1))
        yield self.leaves("sets DRAINING; acknowledges", s)

    # -- writing

    def carried(self, p: Pass) -> Facts:
        """Ask the product what the next pass is told."""
        facts = p.facts
        assert facts
        if not p.look:
            return facts
        known = concrete.carried(
            facts, p.look._replace(period=0), self.proven(), int(p.again == 2),
            int(p.heartbeat == ACCEPTED),
        )  # fmt: skip
        if known.since == concrete.JUST_NOW:
            known = known._replace(since=p.look.period)
        return known._replace(whose=facts.whose, deadline=facts.deadline)

    def recorded(self, p: Pass) -> Rec:
        spent = int(p.hop >= FAR or bool(self.s.rec and self.s.rec.spent))
        return Rec(p.ended, 0, self.carried(p), spent)

    def table(self, demand: Demand, p: Pass, new: Rec, hop: int | None, by: int) -> Written:
        """Make a write, unless its condition does not hold; shift what is told relative to it."""
        s, v = self.s, self.variant
        same = (1 if v == "no-generation" else p.same_generation, hop)
        rec, made, changed = concrete.written(s.rec, demand, same, new, by)
        if not made or not rec:
            return Written(made=False, state=s, one=p)
        if v == "pass-takes-all" and demand == Demand.FOLLOWS:
            rec = rec._replace(facts=new.facts)
        creates = demand in CREATIONS
        whole = s._replace(rec=rec)
        if creates:
            whole = renewed(whole) if v != "no-generation" else whole
            named = p.hop + 1 if p.facts and p.facts.token else 0
            whole = shifted(whole, named, known=UNNAMED)
        elif by:
            whole = shifted(whole, by)
        if changed:
            whole = whole._replace(
                passes=tuple(sorted(one._replace(own_id=0) for one in whole.passes))
            )
        mine = p._replace(
            own_id=int(changed), same_generation=1, message=behind(p.message, by, creates)
        )
        if creates:
            mine = mine._replace(hop=BEHIND, same_hop=1, found=OPEN)
        elif by:
            mine = mine._replace(hop=BEHIND, same_hop=1)
        return Written(made=True, state=whole, one=mine)

    def write(self) -> Iterator[Edge]:
        """Make the one write of the pass, by its admission."""
        p, s, v = self.p, self.s, self.variant
        if v == "publishes-first" and p.admission in (DUE, TAKEOVER) and not p.published:
            names = PRESENT if p.same_generation else OLDER
            yield self.to("publishes first", p._replace(step=PUBLISH, names=names))
            return
        if s.rec and s.rec.spent and p.admission != NEW:
            yield self.leaves("has run out of hops; acknowledges")
        elif p.admission == UNREAD:
            yield from self.goes_on("writes nothing", p, s)
        elif p.admission in (NEW, JOIN) and p.heartbeat != ACCEPTED:
            yield from self.goes_on("has proven nothing", p, s)
        else:
            yield from self.written(*self.demanded(p))

    def demanded(self, p: Pass) -> tuple[Demand, Rec, int | None, int]:
        """Return the write: its demand, the record, the hop's condition, and how far it moves."""
        new = self.recorded(p)
        if p.admission == NEW:
            demand = Demand.ABSENT if p.found == -1 else Demand.REPLACES
            return demand, new, None, 0
        if p.admission == JOIN:
            known = self.s.rec.facts.deadline if self.s.rec else UNTIMED
            facts = new.facts._replace(deadline=min(new.facts.deadline, known))
            silent = p.age >= SILENT_AGE
            hop = p.same_hop if silent else None
            return Demand.JOINS, new._replace(facts=facts), hop, int(silent)
        return Demand.FOLLOWS, new, p.same_hop, p.hop + 1

    def written(self, demand: Demand, new: Rec, hop: int | None, by: int) -> Iterator[Edge]:
        p, s = self.p, self.s
        after = self.table(demand, p, new, hop, by)
        if s.down:
            yield from self.unknown(s, after=False, kind=STEP)
            return
        if self.has("unwritten"):
            yield from self.unknown(self.spend("unwritten"), after=False, kind=FAULT)
        if not after.made:
            yield self.overtaken(demand)
            return
        bad = self.wrong_write(demand, after.state)
        if self.has("unanswered"):
            spent = self.spend("unanswered", after.state)
            waits = after.one._replace(step=RETRY, ended=OPEN)
            waits = waits._replace(found=demand_code(demand, hop))
            yield self.to("writes, and gets no answer", waits, spent, FAULT, bad)
            self.p = after.one._replace(admission=p.admission, found=p.found)
            yield from self.unknown(spent, after=True, kind=FAULT)
            self.p = p
        yield from self.done(demand, hop, after.state, after.one, bad)

    def wrong_write(self, demand: Demand, after: State) -> str:
        """Whether a write has undone a join: the model's own check of what is stored."""
        before, rec = self.s.rec, after.rec
        if not before or not rec or demand in CREATIONS:
            return ""
        if before.facts.token and not rec.facts.token:
            return "TOKEN LOST: a pass has taken the token out of the record"
        raised = rec.facts.deadline > before.facts.deadline
        return "DEADLINE RAISED: a pass has undone what a join had lowered" if raised else ""

    def done(
        self, demand: Demand, hop: int | None, s: State, p: Pass, bad: str = ""
    ) -> Iterator[Edge]:
        """Go on after a write that was made."""
        label = {Demand.ABSENT: "creates the record", Demand.REPLACES: "replaces the record"}.get(
            demand, "writes the pass"
        )
        if demand == Demand.JOINS and hop is None:
            label = "writes its token into the record; acknowledges"
            yield self.leaves(label, s, bad=bad)
            further = shifted(s, AHEAD_MAX, known=UNNAMED)
            if further != s:
                yield self.leaves(f"{label}; its record is further than its messages", further)
            return
        yield from self.goes_on(label, p._replace(names=PRESENT, recorded=1), s, bad=bad)

    def unknown(self, s: State, *, after: bool, kind: int) -> Iterator[Edge]:
        """Go on by the message after a write of which nothing is known."""
        p, v = self.p, self.variant
        made = ", but it is written" if after else ""
        if v in ("fails-unread", "only-the-key"):
            yield self.fails(f"cannot write{made}; its message comes again", s, kind)
        elif p.admission == TAKEOVER and v != "takeover-publishes":
            yield self.fails(f"cannot take over{made}; publishes nothing", s, kind)
        else:
            follows = p.admission in (DUE, TAKEOVER)
            names = UNNAMED if not follows else PRESENT if p.same_generation else OLDER
            unnamed = p._replace(names=names)
            yield from self.goes_on(f"cannot write{made}; goes by the message", unnamed, s, kind)

    def overtaken(self, demand: Demand) -> Edge:
        """Leave the hop to who has written it."""
        rec, token = self.s.rec, self.facts().token
        if rec and (demand == Demand.FOLLOWS or rec.facts.token == token):
            return self.leaves("was overtaken: a duplicate; acknowledges")
        return self.fails("was overtaken; comes again")

    def repeat(self) -> Iterator[Edge]:
        """Have the SDK repeat a write whose answer was lost."""
        p, rec = self.p, self.s.rec
        demand, hop = demand_of(p.found)
        token = self.facts().token
        # A join alone leaves the pass's id: it knows its repetition by the token.
        known = rec and concrete.repeated(rec, demand, p.own_id, token, hop)
        if rec and known and self.variant != "no-pass-id":
            yield from self.done(demand, hop, self.s, p._replace(found=OPEN))
        else:
            yield self.overtaken(demand)

    # -- publishing

    def goes_on(
        self, label: str, p: Pass, s: State, kind: int = STEP, bad: str = ""
    ) -> Iterator[Edge]:
        if p.published:
            yield self.leaves(f"{label}; acknowledges", s, kind, bad)
        else:
            yield self.to(label, p._replace(step=PUBLISH), s, kind, bad)

    def publish(self) -> Iterator[Edge]:
        """Publish what follows; then only the acknowledgement, or DRAINING, is left."""
        s, p = self.s, self.p
        m = p.message
        hop = min(p.hop + 1, AHEAD_MAX) if p.hop < FAR else 0
        names = p.names
        if p.admission == UNREAD and m:
            names = m.generation
        hop = BEHIND if names == OLDER else hop
        following = Msg(1, names, hop, 0, self.carried(p))
        sent = s._replace(messages=add(s.messages, following))
        if self.has("crash"):
            dead = self.spend("crash", sent)
            yield self.fails("publishes and dies", dead, FAULT)
        label = f"publishes {show(following)}"
        if self.variant == "publishes-first" and p.admission in (DUE, TAKEOVER):
            yield self.to(label, p._replace(step=WRITE, published=1), sent)
        elif p.again in (1, 3) and p.recorded:
            yield self.to(label, p._replace(step=SET_DRAINING, published=1), sent)
        elif p.again == 3:  # sooner or later it is set DRAINING all the same
            yield self.to(label, p._replace(step=SET_DRAINING, published=1), sent)
            yield Edge(f"{self.who} {label}; acknowledges", STEP, sent)
        else:
            yield Edge(f"{self.who} {label}; acknowledges", STEP, sent)


SILENT_AGE = 2
JOINS_ALONE, JOINS_SILENT, FOLLOWS, ABSENT, REPLACES = range(10, 15)


def demand_code(demand: Demand, hop: int | None) -> int:
    """Return a write as a number that a pass can keep."""
    if demand == Demand.JOINS:
        return JOINS_ALONE if hop is None else JOINS_SILENT
    return {Demand.FOLLOWS: FOLLOWS, Demand.ABSENT: ABSENT, Demand.REPLACES: REPLACES}[demand]


def demand_of(code: int) -> tuple[Demand, int | None]:
    return {
        JOINS_ALONE: (Demand.JOINS, None),
        JOINS_SILENT: (Demand.JOINS, 0),
        FOLLOWS: (Demand.FOLLOWS, 0),
        ABSENT: (Demand.ABSENT, None),
        REPLACES: (Demand.REPLACES, None),
    }[code]


def under_way(s: State) -> int:
    """Count the messages, those that are being served included."""
    return len(s.messages) + sum(1 for one in s.passes if one.message)


def again(s: State, p: Pass) -> State:
    """Return the state in which a message is delivered again, unless it was too often."""
    m = p.message
    if not m or m.receives + 1 >= 3:
        return s
    back = m._replace(wait=REDELIVERY_TICKS, receives=m.receives + 1)
    return s._replace(messages=add(s.messages, back))


def behind(m: Msg | tuple[()], by: int, creates: bool) -> Msg | tuple[()]:
    """Return the message that a pass serves after this pass has moved the hop."""
    if not m or not (by or creates):
        return m
    return m._replace(hop=BEHIND)


def shifted(s: State, by: int, known: int = PRESENT) -> State:
    """Return the state after the record's hop went up; what is behind it is all alike."""
    rec = s.rec
    assert rec

    def down(m: Msg) -> Msg:
        named = m.generation == UNNAMED and m.facts.token and m.facts.token == rec.facts.token
        if named or (known == PRESENT and m.generation == PRESENT):
            return m._replace(hop=max(m.hop - by, BEHIND))
        return m

    def moved(one: Pass) -> Pass:
        m = one.message
        now = down(m) if m else m
        if known == PRESENT and one.same_generation and one.admission:
            own = one.admission in (NEW, JOIN)  # its hop is the message's own
            hop = one.hop if own else max(one.hop - by, BEHIND - 1)
            return one._replace(message=now, hop=hop, same_hop=0)
        if m and one.admission == UNREAD:
            return one._replace(message=now, hop=now.hop if now else one.hop)
        return one._replace(message=now)

    return s._replace(
        messages=tuple(sorted(map(down, s.messages))),
        limbo=tuple(sorted(map(down, s.limbo))),
        passes=tuple(sorted(map(moved, s.passes))),
    )


def renewed(s: State) -> State:
    """Return the state after another generation has begun: what there was is of an older one."""

    def old(m: Msg) -> Msg:
        return m._replace(generation=OLDER, hop=BEHIND) if m.generation == PRESENT else m

    def older(one: Pass) -> Pass:
        m = one.message
        names = OLDER if one.names == PRESENT else one.names
        return one._replace(
            message=old(m) if m else m, same_generation=0, same_hop=0, own_id=0, names=names
        )

    return s._replace(
        messages=tuple(sorted(map(old, s.messages))),
        limbo=tuple(sorted(map(old, s.limbo))),
        passes=tuple(sorted(map(older, s.passes))),
    )


def show(m: Msg) -> str:
    of = ("of an older generation", "", "of no generation")[m.generation]
    hop = "far ahead" if m.hop >= FAR else f"{m.hop:+d}"
    return f"[token {m.facts.token or '-'}, hop {hop}{', ' + of if of else ''}]"


def name(p: Pass) -> str:
    if not p.message:
        return "wake-up" if p.serves == WAKE_UP else "sweep"
    return f"pass{show(p.message)}"
