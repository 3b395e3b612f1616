"""
Show a plan, ask if it can cut tasks, and make its calls. Only this module writes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, fail
from drainer.cli.account.terminal import not_asked
from drainer.cli.operate.plan import Plan, Refusal
from drainer.errors import DrainerError, LifecycleActionOverError, OvertakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drainer.cli.operate.plan import Step

NOT_CONFIRMED = "Not confirmed. No changes made."
# Errors that say more here than AWS's sentence does.
SAID: dict[type[DrainerError], str] = {
    LifecycleActionOverError: "the hook waits no longer: it was answered, or timed out",
    # Or the SDK has repeated a write whose answer was lost, which the write itself refuses then.
    OvertakenError: "the drain has changed meanwhile, perhaps by this command: see drainer status",
}


@dataclass(frozen=True, slots=True)
class Perform:
    """
    One run of a command.

    Attributes:
        client: Makes a service's client.
        answer: Asks a question and returns what was typed; None without a terminal.
        yes: Whether not to ask.
        dry_run: Whether to print the calls and make none.
        as_json: Whether to print JSON only.
    """

    client: Callable[[str], Any]
    answer: Callable[[str], str] | None
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False

    def run(self, plan: Plan | Refusal) -> int:
        """Carry out a plan; return the exit code."""
        if isinstance(plan, Refusal):
            return fail(plan.sentence, plan.advice, code=plan.code)
        # What a person has to read before answering is shown with --json too, beside the results.
        asks = bool(plan.question) and not self.yes and not self.dry_run
        for line in plan.about:
            if not self.as_json:
                print(line)
            elif asks:
                print(line, file=sys.stderr)
        if self.dry_run:
            return self._show(plan)
        if asks and plan.steps:
            if self.answer is None:
                return not_asked()
            typed = self.answer(plan.question).strip().lower()
            if typed not in ({plan.expected} if plan.expected else {"y", "yes"}):
                print(NOT_CONFIRMED, file=sys.stderr)
                return EXIT_FAILED
        changed, failed = self._make(plan)
        # Where all has failed, there is no change to undo or to follow.
        if plan.next_step and plan.steps and (changed or not failed) and not self.as_json:
            print(plan.next_step, file=sys.stderr)
        return EXIT_FAILED if failed else EXIT_OK

    def _show(self, plan: Plan) -> int:
        for step in plan.steps:
            if self.as_json:
                call = step.call
                shown = {"dry_run": True, "call": f"{call.service}:{call.operation}"}
                print(json.dumps({**shown, "parameters": call.shown()}))
            else:
                print(f"\n{step.call.command()}")
        if not self.as_json:
            print("\nDry run: no changes made.")
        return EXIT_OK

    def _make(self, plan: Plan) -> tuple[set[str], bool]:
        """
        Make the calls; one that fails does not keep the others.

        Return what was changed, and whether a call failed.
        """
        changed, failed = set[str](), False
        for step in plan.steps:
            if step.after and step.after not in changed:
                continue
            refusals = self._call(step)
            why_all = refusals.get("")
            if why_all and not step.items:
                failed = True
                fail(f"{step.failed}: {why_all}")
            for item in step.items:
                why = why_all or refusals.get(item.arn)
                failed = failed or bool(why)
                if not why:
                    changed.add(item.arn)
                if self.as_json:
                    said = {"done": not why, **({"error": why} if why else {})}
                    print(json.dumps({**item.data, **said}))
                elif not why:
                    print(item.done)
                if why:
                    fail(f"{item.name} was not changed: {why}")
        return changed, failed

    def _call(self, step: Step) -> Mapping[str, str]:
        """Make one call; return by ARN why something was not changed, by an empty one for all."""
        call = step.call
        try:
            answer = ask(getattr(self.client(call.service), call.method), **call.parameters)
        except DrainerError as error:
            return {"": SAID.get(type(error), str(error))}
        failures = answer.get("failures", ())
        return {one.get("arn", ""): one.get("reason", "no reason given") for one in failures}
