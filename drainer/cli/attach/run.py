"""
`drainer attach`, `detach` and `list`: show the change, ask, and make it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drainer import clock
from drainer.cli.account.reader import Reader, Unread, UnreadError, attempt, got, refusal
from drainer.cli.account.screen import short
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, clients, fail
from drainer.cli.account.stack import parameters
from drainer.cli.account.terminal import asking, not_asked
from drainer.cli.account.terminal import guarded as account_guarded
from drainer.cli.attach import plan
from drainer.cli.attach.stacks import StackError, Stacks
from drainer.cli.doctor import read_groups
from drainer.cli.doctor.facts import Group
from drainer.cli.doctor.hook_checks import own_hooks
from drainer.cli.doctor.read_stack import read_stack
from drainer.lifecycle.hooks import is_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from drainer.cli.account.options import Options
    from drainer.cli.doctor.stack_facts import Stack

# In a clone a link to infra/attach.yaml, in a wheel the file itself.
TEMPLATE = Path(__file__).with_name("attach.yaml")


@dataclass(frozen=True, slots=True)
class Terminal:
    """
    The account, and the person at the terminal.

    Attributes:
        client: Returns the client of a service.
        sleep: Waits for so many seconds.
        ask: Asks a question; None where there is no one to ask.
        yes: Whether not to ask.
        dry_run: Whether to change nothing.
    """

    client: Callable[[str], Any]
    sleep: Callable[[float], None] = clock.sleep
    ask: Callable[[str], str] | None = None
    yes: bool = False
    dry_run: bool = False

    @property
    def reader(self) -> Reader:
        """What reads this account."""
        return Reader(self.client, self.sleep)

    @property
    def stacks(self) -> Stacks:
        """CloudFormation's stacks."""
        return Stacks(self.client("cloudformation"), self.sleep)

    def agrees(self, question: str) -> bool | None:
        """Return whether the change may be made; None where there is no one to ask."""
        if self.yes:
            return True
        if self.ask is None:
            return None
        return self.ask(f"{question} Type yes to go on:").strip().lower() == "yes"


def terminal(at: Options) -> Terminal:
    """
    Return the terminal of a command.

    Raises:
        BotoCoreError: There is no such profile, or no Region is set.
    """
    made = clients(at.region, at.profile)
    return Terminal(made, ask=asking(), yes=at.yes, dry_run=at.dry_run)


def guarded(command: Callable[[Terminal], int], make: Callable[[], Terminal]) -> int:
    """Run a command; return its exit code, with errors in one line."""

    def run() -> int:
        try:
            return command(make())
        except UnreadError as error:
            return fail(*refusal(error.value, "check --stack, the group's name and --region"))
        except StackError as error:
            return fail(f"CloudFormation: {error}")

    return account_guarded(run, "what CloudFormation has begun goes on")


def attach(wanted: plan.Wanted, at: Terminal) -> int:
    """Attach a group, or change how it is attached; return the exit code."""
    stack = _drainer(at, wanted.drainer)
    own = [one.stack for one in got(stack.attached) if one.group == wanted.group]
    group = _group(at, wanted.group, stack)
    if not own and (hooks := own_hooks(group, stack)):
        return fail(
            f"{wanted.group} has the hook {hooks[0].hook.name} already",
            "change it where it was made",
        )
    name = own[0] if own else wanted.stack or plan.stack_name(wanted.group)
    there = at.stacks.describe(name)
    before = None if there is None else parameters(there)
    if before is not None and not own:
        return fail(f"the stack {name} exists and attaches another group", "use --attach-stack")
    key = getattr(stack.topic, "kms_key", "")
    given = plan.parameters(wanted, key if key.startswith("arn:") else "", before)
    if before is not None and (old := set(before) - _template_parameters()):
        given = [one for one in given if one["ParameterKey"] not in old]
    print(f"{'Change' if own else 'Create'} the stack {name}:")
    _print(plan.settings_lines(given, before))
    if at.dry_run:
        print("No changes made (--dry-run).")
        return EXIT_OK
    return _changed(at, name, given, is_new=before is None)


def _changed(at: Terminal, name: str, given: list[dict[str, Any]], *, is_new: bool) -> int:
    stacks, body = at.stacks, TEMPLATE.read_text(encoding="utf-8")
    label = clock.now().strftime("drainer-%Y%m%dT%H%M%SZ")
    change_set = stacks.change_set(name, label, body, given, is_new=is_new)
    if change_set is None:
        print(f"nothing to do: the stack {name} is up to date")
        return EXIT_OK
    _print(plan.change_lines(change_set.changes))
    agreed = False
    try:
        agreed = bool(answer := at.agrees("Make these changes?"))
    finally:
        # Also after Ctrl-C: a stack in review would be in the way of the next try.
        if not agreed:
            stacks.discard(change_set)
    if not agreed:
        return _not_made(answer)
    print(f"{stacks.execute(change_set)}: check it with drainer doctor")
    return EXIT_OK


def _not_made(answer: bool | None) -> int:
    if answer is None:
        return not_asked()
    print("No changes made.")
    return EXIT_FAILED


def detach(group: str, drainer: str, at: Terminal) -> int:
    """Delete the stack that attaches a group; return the exit code."""
    names = [one.stack for one in got(_drainer(at, drainer).attached) if one.group == group]
    if not names:
        return fail(f"no stack of infra/attach.yaml attaches {group}", "see drainer list")
    waiting = _waiting(at, group)
    print(f"Delete the stack {names[0]}:")
    _print(("  - TerminatingHook (AWS::AutoScaling::LifecycleHook)", "  - NotificationRole"))
    print(f"Instances of {group} are then terminated with their tasks.")
    if waiting:
        # "any remaining lifecycle actions ... CONTINUE for terminating instances"
        # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteLifecycleHook.html
        print(f"{len(waiting)} wait now and go on at once, undrained: {', '.join(waiting)}.")
    if at.dry_run:
        print("No changes made (--dry-run).")
        return EXIT_OK
    if not (answer := at.agrees("Detach it?")):
        return _not_made(answer)
    at.stacks.delete(names[0])
    print(f"{group} is detached.")
    return EXIT_OK


def list_groups(drainer: str, at: Terminal, *, as_json: bool) -> int:
    """List the groups that the drainer's stack drains; return the exit code."""
    stack = _drainer(at, drainer)
    bodies = read_groups.listed(at.reader, ())
    problems: list[str] = []
    stacks: dict[str, str] | None = None
    if isinstance(stack.attached, Unread):
        problems.append(stack.attached.why)
    else:
        stacks = {one.group: one.stack for one in stack.attached}
    rows = list(_rows(at.reader, bodies, stack, stacks, problems))
    _show_rows(rows, drainer, as_json=as_json, is_whole=not problems)
    for problem in problems:
        print(f"? Not read: {problem}", file=sys.stderr)
    return EXIT_FAILED if problems else EXIT_OK


def _show_rows(
    rows: Sequence[Mapping[str, Any]], drainer: str, *, as_json: bool, is_whole: bool
) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        if is_whole:
            print(f"The stack {drainer} drains no group: drainer attach GROUP")
        return
    print(f"{'GROUP':<24}  {'STACK':<24}  HEARTBEAT  DEADLINE  CLUSTER")
    for row in rows:
        beat, until = short(row["heartbeat_seconds"]), short(row["deadline_seconds"])
        made = "?" if row["stack"] is None else row["stack"] or "(in its group)"
        print(f"{row['group']:<24}  {made:<24}  {beat:>9}  {until:>8}  {row['cluster'] or 'any'}")


def _rows(
    reader: Reader,
    bodies: Iterable[dict[str, Any]],
    stack: Stack,
    stacks: Mapping[str, str] | None,
    problems: list[str],
) -> Iterable[dict[str, Any]]:
    """Yield a row for each hook; the groups whose hooks were not read become problems."""
    for body in sorted(bodies, key=lambda one: str(one["AutoScalingGroupName"])):
        name = body["AutoScalingGroupName"]
        group = Group(name, attempt(read_groups.hooks, reader, name))
        if isinstance(group.hooks, Unread):
            problems.append(f"the hooks of {name}: {group.hooks.why}")
        for own in own_hooks(group, stack):
            yield {
                "group": name,
                "stack": None if stacks is None else stacks.get(name, ""),
                "hook": own.hook.name,
                "heartbeat_seconds": own.hook.heartbeat_seconds,
                "deadline_seconds": min(own.policy.drain_timeout_seconds, own.limit_seconds),
                "deadline_result": str(own.policy.deadline_result),
                "cluster": own.policy.cluster or "",
            }


def _drainer(at: Terminal, name: str) -> Stack:
    """Return the drainer's stack; raises an UnreadError."""
    return read_stack(at.reader, name, at.client("cloudformation").meta.region_name, clock.now())


def _group(at: Terminal, name: str, stack: Stack) -> Group:
    if not read_groups.listed(at.reader, (name,)):
        why = f"no group {name} in {stack.region}: check the name and --region"
        raise UnreadError(Unread(why))
    # Without its hooks, it could get a second one with the same target.
    return Group(name, read_groups.hooks(at.reader, name))


def _waiting(at: Terminal, name: str) -> list[str]:
    bodies = read_groups.listed(at.reader, (name,))
    instances = [one for body in bodies for one in body.get("Instances", ())]
    return [one["InstanceId"] for one in instances if is_waiting(one["LifecycleState"])]


def _template_parameters() -> set[str]:
    """Return the names of the template's parameters; an older stack may have others."""
    lines = TEMPLATE.read_text(encoding="utf-8").split("\nConditions:")[0].splitlines()
    return {line.strip(" :") for line in lines if line.startswith("  ") and line[2].isalpha()}


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
