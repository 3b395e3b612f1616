"""
The protocol of the drain's record as a graph of states: what may happen next in each of them.

One tick is a minute. A re-invocation is delivered one tick after it was published, a failed message
after three, the sweep runs every five, and a pass lasts for one tick at most. Within a tick the
steps of two passes, deliveries and faults interleave in every order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.bounds import PERIODS, Bounds
from tests.model.passes import FAULT, STEP, TICK, Edge, Turn, again, name, show
from tests.model.values import (
    AT_ONCE,
    FAR,
    MESSAGE,
    OPEN,
    PAST,
    PRESENT,
    READ,
    SETTLE_TICKS,
    STEPS,
    STRANGER,
    SWEEP,
    SWEEP_TICKS,
    UNNAMED,
    UNTIMED,
    WAKE_UP,
    Action,
    Facts,
    Msg,
    Pass,
    Rec,
    State,
    add,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Model(Bounds):
    """The states, and the edges between them, within bounds."""

    def initial(self) -> Iterator[State]:
        """Yield the states in which the first action's notification is under way."""
        action, notification = self.begun(1, 0, self.work)
        for sweep in range(1, SWEEP_TICKS + 1) if self.sweeps else (UNTIMED,):
            yield State(action, (), (notification,), (), 0, 0, sweep, (), self.budget)

    def begun(self, number: int, draining: int, work: int) -> tuple[Action, Msg]:
        period = PERIODS * number
        ends = self.deadline
        action = Action(number, 1, self.hook, ends, draining, work, period, PAST, 0)
        return action, Msg(0, UNNAMED, 0, 0, Facts(number, number, ends, 0, 0, 0))

    def successors(self, s: State) -> Iterator[Edge]:
        """Yield all that may happen next."""
        yield from self.deliveries(s)
        yield from self.beginnings(s)
        yield from self.outages(s)
        yield from self.deeds(s)
        for i, one in enumerate(s.passes):
            if i and s.passes[i - 1] == one:
                continue
            rest = s._replace(passes=s.passes[:i] + s.passes[i + 1 :])
            if self.has(s, "crash"):
                dead = again(self.spend(rest, "crash"), one)
                yield Edge(f"{name(one)} dies before {STEPS[one.step]}", FAULT, dead)
            yield from Turn(self, rest, one).steps()
        if self.may_tick(s):
            yield self.tick(s)

    def deliveries(self, s: State) -> Iterator[Edge]:
        before = None
        for i, m in enumerate(s.messages):
            if m == before or m.wait > 0:
                continue
            before = m
            rest = s._replace(messages=s.messages[:i] + s.messages[i + 1 :])
            if len(s.passes) < AT_ONCE:
                served = rest._replace(passes=add(s.passes, Pass(READ, 0, MESSAGE, m)))
                yield Edge(f"{show(m)} is delivered", STEP, served)
            if self.has(s, "loss") and (self.discover or m.generation != UNNAMED):
                lost = self.spend(rest, "loss")
                yield Edge(
                    f"{show(m)} is lost or delayed", FAULT, lost._replace(limbo=add(s.limbo, m))
                )
            if self.has(s, "duplicate"):
                two = self.spend(s, "duplicate")
                yield Edge(
                    f"{show(m)} is duplicated", FAULT, two._replace(messages=add(s.messages, m))
                )
                late = two._replace(limbo=add(s.limbo, m))
                yield Edge(f"{show(m)} is duplicated, one delayed", FAULT, late)
        for i, m in enumerate(s.limbo):
            if not (i and s.limbo[i - 1] == m):
                back = s._replace(messages=add(s.messages, m), limbo=s.limbo[:i] + s.limbo[i + 1 :])
                yield Edge(f"{show(m)} arrives late", FAULT, back)

    def beginnings(self, s: State) -> Iterator[Edge]:
        room = len(s.passes) < AT_ONCE
        if s.sweep == 0 and room:
            begun = s._replace(sweep=SWEEP_TICKS)
            swept = begun._replace(passes=add(s.passes, Pass(READ, 0, SWEEP, ())))
            yield Edge("the sweep begins", STEP, swept)
            if self.has(s, "loss"):
                yield Edge("the sweep is lost", FAULT, self.spend(begun, "loss"))
        if room and self.has(s, "wake_up"):
            woken = self.spend(s, "wake_up")
            woken = woken._replace(passes=add(s.passes, Pass(READ, 0, WAKE_UP, ())))
            yield Edge("a wake-up", FAULT, woken)

    def outages(self, s: State) -> Iterator[Edge]:
        if s.down and not self.forever:
            yield Edge("the table is back", STEP, s._replace(down=0, left=0))
        elif not s.down and self.has(s, "outage"):
            down = self.spend(s, "outage")._replace(down=self.down, left=self.outage)
            yield Edge(
                ("", "the table is down", "the table takes no writes")[self.down], FAULT, down
            )

    def deeds(self, s: State) -> Iterator[Edge]:
        """Yield what others do: Auto Scaling, an operator, and who may write to the queue."""
        a, rec = s.action, s.rec
        if a.alive and self.has(s, "hand"):
            over = self.spend(s, "hand")._replace(action=a._replace(alive=0, hook=self.gap))
            yield Edge("the action is abandoned by hand", FAULT, over)
        # A known limit: two passes at once that know no record yet, and somebody sets the instance
        # ACTIVE between their looks.
        alone = not any(one.admission == "new" for one in s.passes)
        if a.alive and a.draining and alone and self.has(s, "active"):
            # Tasks are placed, which no look from before knows.
            placed = a._replace(draining=0, work=self.work, period=a.period + 1)
            yield Edge(
                "somebody sets it ACTIVE", FAULT, self.spend(s, "active")._replace(action=placed)
            )
        if rec and not rec.end and self.has(s, "forged"):
            spent = self.spend(s, "forged")
            far = Facts(rec.facts.whose, 0, rec.facts.deadline, 0, 0, 0)
            strange = far._replace(token=STRANGER)
            for facts, hop in ((far, FAR), (strange, 0)):
                forged = spent._replace(messages=add(s.messages, Msg(0, PRESENT, hop, 0, facts)))
                yield Edge("a message is forged", FAULT, forged)
        if not a.alive and a.hook <= 0 and a.number < self.actions:
            for reset in (0, 1):
                left = (0, self.work) if reset else (a.draining, a.work)
                action, notification = self.begun(a.number + 1, *left)
                how = "ACTIVE" if reset else "as it was"
                begun = s._replace(action=action, messages=add(s.messages, notification))
                yield Edge(f"action {action.number} begins, the instance {how}", FAULT, begun)

    def may_tick(self, s: State) -> bool:
        """Whether nothing is due, no pass is at its limit, and not all is done."""
        a = s.action
        done = not (s.messages or s.passes or a.alive) and (not s.rec or s.rec.end)
        if done and a.number == self.actions:
            return False
        due = s.sweep <= 0 or any(m.wait <= 0 for m in s.messages) or (s.down and s.left <= 0)
        held = any(one.old for one in s.passes) or (s.passes and not self.has(s, "slow"))
        return not (due or held)

    def tick(self, s: State) -> Edge:
        a, violation = s.action, ""
        alive, hook = a.alive, a.hook
        if alive and self.hook < UNTIMED:
            hook -= 1
            if hook <= 0:
                alive, hook = 0, self.gap
                if a.deadline > 0 and not self.expires:
                    violation = "EXPIRED: the hook timed out, though the drain had time left"
        elif not alive and hook > 0:
            hook -= 1
        work = a.work - 1 if a.draining and a.work and not self.endless else a.work
        a = a._replace(
            alive=alive,
            hook=hook,
            deadline=self.less(a.deadline),
            work=work,
            kept=self.less(a.kept),
        )
        kind = TICK
        if s.passes:
            s, kind = self.spend(s, "slow"), FAULT
        after = s._replace(
            action=a,
            rec=self.older(s.rec) if s.rec else s.rec,
            messages=tuple(sorted(self.aged(m)._replace(wait=m.wait - 1) for m in s.messages)),
            passes=tuple(sorted(self.held(one) for one in s.passes)),
            left=s.left - 1 if s.down and not self.forever else s.left,
            sweep=s.sweep - 1 if self.sweeps else s.sweep,
            limbo=tuple(sorted(self.aged(m) for m in s.limbo)),
        )
        return Edge("-- a tick", kind, after, violation)

    def less(self, deadline: int) -> int:
        return max(deadline - 1, PAST) if self.timed else deadline

    def later(self, facts: Facts) -> Facts:
        absent = 2 if facts.absent else 0
        return facts._replace(deadline=self.less(facts.deadline), absent=absent)

    def aged(self, m: Msg) -> Msg:
        return m._replace(facts=self.later(m.facts))

    def older(self, rec: Rec) -> Rec:
        # Without a token it matters whether the record is silent for longer than its hook waits.
        waits = rec.end == OPEN and not rec.facts.token and self.hook < UNTIMED
        most = max(SETTLE_TICKS, self.hook if waits else 0)
        return rec._replace(age=min(rec.age + 1, most), facts=self.later(rec.facts))

    def held(self, one: Pass) -> Pass:
        m, facts = one.message, one.facts
        return one._replace(
            old=1,
            message=self.aged(m) if m else m,
            facts=self.later(facts) if facts else facts,
            age=min(one.age + 1, SETTLE_TICKS),
        )
