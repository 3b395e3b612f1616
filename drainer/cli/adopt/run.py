"""
What the command does: read and show, change one hook after asking, or restore one.

Only `_put` writes: one `PutLifecycleHook`, as it was shown.
"""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from drainer.cli.account.session import AWS_ERRORS, EXIT_OK, EXIT_USAGE, fail
from drainer.cli.account.terminal import not_asked
from drainer.cli.adopt import screen
from drainer.cli.adopt.plan import PUT, Change, Kind, aws, findings, waiting_command
from drainer.cli.adopt.reader import Reader
from drainer.cli.adopt.source import ZIP_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from rich.console import Console

    from drainer.cli.adopt.plan import Finding

FETCH_SECONDS_MAX = 10
# Something was not read, and the rest is shown.
EXIT_UNREAD = 4
REQUIRED = {"AutoScalingGroupName", "LifecycleHookName", "NotificationTargetARN"}


@dataclass(frozen=True, slots=True)
class Adopt:
    """
    One run of the command.

    Attributes:
        client: Makes a service's client.
        fetch: Gets the content behind an address of a function's zip.
        ask: Asks a question that is answered by yes or no; None where there is no terminal.
        console: Where results are printed.
        now: The present instant.
        folder: Where the way back is saved.
        stack: The name of the drainer's stack.
        role_arn: The role that the user names; empty for none.
        cluster: The cluster that the user names; empty for none.
    """

    client: Callable[[str], Any]
    fetch: Callable[[str], bytes]
    ask: Callable[[str], bool] | None
    console: Console
    now: datetime
    folder: Path
    stack: str = "drainer"
    role_arn: str = ""
    cluster: str = ""

    def show(self, *, as_json: bool) -> int:
        """Show every terminating hook, and the change for each of an old drainer."""
        facts = self._reader().read()
        found = findings(facts, self.cluster)
        if as_json:
            for line in screen.as_objects(facts, found):
                print(line)
        else:
            screen.show(facts, found, self.console)
        return EXIT_OK if facts.is_whole else EXIT_UNREAD

    def apply(self, key: str, *, yes: bool, dry_run: bool) -> int:
        """Change the hook of this group and name, with one call."""
        facts = self._reader().read()
        found = {one.hook.key: one for one in findings(facts, self.cluster)}
        finding = found.get(key)
        if finding is None:
            return fail(f"no terminating hook {key}", "drainer adopt lists them", code=EXIT_USAGE)
        if facts.rules_unread:
            # An old function that a rule tells goes on to release early.
            why = f"a rule may tell an old function. {facts.rules_unread[0]}"
            return fail(f"{key} is not changed", why, code=EXIT_UNREAD)
        refusal = _refusal(finding)
        if refusal:
            return fail(f"{key} is not changed", refusal)
        change = finding.change
        assert change is not None  # noqa: S101 - what has none is refused
        self._say(f"{screen.command_of(change)}", "cyan")
        self._say(f"\nThe way back:\n{screen.way_back(change)}", "")
        if dry_run:
            self._say("\nDry run: the hook was not changed.", "dim")
            return EXIT_OK
        waiting = f" {len(finding.hook.waiting)} instances wait in it now." * bool(
            finding.hook.waiting
        )
        if code := self._not_agreed(f"Change {key}?{waiting}", "changed", yes=yes):
            return code
        try:
            file = self._save(key, change.back)
        except OSError as error:
            return fail(f"the way back was not saved, so {key} was not changed: {error}")
        self._say(f"\nThe way back is saved: drainer adopt --back {file}", "")
        code = self._put(change.put)
        if code == EXIT_OK:
            self._say(f"{key} notifies the drainer now. What is left to do:", "green")
            self._say_rest(change)
        return code

    def restore(self, file: Path, *, yes: bool, dry_run: bool) -> int:
        """Restore a hook from the file that `apply` saved."""
        try:
            saved = json.loads(file.read_text(encoding="utf-8"))
            put, region = saved["put"], saved["region"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            return fail(f"{file} was not read", f"{type(error).__name__}", code=EXIT_USAGE)
        if not isinstance(put, dict) or not set(PUT) >= set(put) >= REQUIRED:
            return fail(f"{file} is no way back of drainer adopt", code=EXIT_USAGE)
        here = self.client("autoscaling").meta.region_name
        if region != here:
            return fail(f"{file} is of {region}, not of {here}", "use --region", code=EXIT_USAGE)
        self._say(aws(screen.PUT_HOOK, put), "cyan")
        self._say(
            "\nThe drainer leaves an instance alone once its hook notifies somebody else: one that "
            "waits now is released by the hook's timeout. Wait until this lists none:\n"
            + waiting_command(put["AutoScalingGroupName"]),
            "yellow",
        )
        if dry_run:
            self._say("\nDry run: the hook was not restored.", "dim")
            return EXIT_OK
        key = f"{put['AutoScalingGroupName']}/{put['LifecycleHookName']}"
        if code := self._not_agreed(f"Restore {key}?", "restored", yes=yes):
            return code
        code = self._put(put)
        if code == EXIT_OK:
            self._say(f"{key} is as it was.", "green")
        return code

    def _not_agreed(self, question: str, done: str, *, yes: bool) -> int:
        if yes:
            return EXIT_OK
        if self.ask is None:
            return not_asked()
        return EXIT_OK if self.ask(question) else fail("not confirmed", f"the hook was not {done}")

    def _reader(self) -> Reader:
        return Reader(self.client, self.fetch, self.stack, self.role_arn)

    def _put(self, parameters: Mapping[str, Any]) -> int:
        """Change the hook, and read it again: it must be as it was shown."""
        auto_scaling = self.client("autoscaling")
        try:
            auto_scaling.put_lifecycle_hook(**parameters)
        except AWS_ERRORS as error:
            return fail(f"the hook was not changed: {error}")
        group, hook = parameters["AutoScalingGroupName"], parameters["LifecycleHookName"]
        try:
            answer = auto_scaling.describe_lifecycle_hooks(
                AutoScalingGroupName=group, LifecycleHookNames=[hook]
            )
        except AWS_ERRORS as error:
            return fail(f"the hook was changed, but not read again: {error}", "drainer adopt")
        found = (answer["LifecycleHooks"] or [{}])[0]
        differing = [name for name, one in parameters.items() if found.get(name, "") != one]
        if differing:
            return fail(f"the hook differs in {', '.join(differing)}", "drainer adopt shows it")
        return EXIT_OK

    def _save(self, key: str, back: Mapping[str, Any]) -> Path:
        """Save the way back in a file of its own: none that is there is written over."""
        name = re.sub(r"[^A-Za-z0-9-]+", "-", key)
        file = self.folder / f"drainer-adopt-{name}-{self.now:%Y%m%dT%H%M%SZ}.json"
        region = self.client("autoscaling").meta.region_name
        with file.open("x", encoding="utf-8") as output:
            json.dump({"region": region, "put": dict(back)}, output, indent=2)
        return file

    def _say_rest(self, change: Change) -> None:
        own = screen.command_of(change)
        for step in change.steps:
            if step.command != own:
                self._say(f"- {step.what}", "")
                self._say(step.command, "cyan")

    def _say(self, text: str, style: str) -> None:
        if text:
            self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _refusal(finding: Finding) -> str:
    """Say why a hook cannot be changed; empty if it can."""
    if finding.kind == Kind.UNKNOWN:
        return "its function was not recognised, so it is left alone"
    if finding.change is None:
        return "it notifies the drainer already"
    return finding.change.blocked


def fetch(address: str) -> bytes:
    """
    Get a function's zip from the address that Lambda gives for it, up to the most that is read.

    Raises:
        OSError: It was not to be had.
    """
    if not address.startswith("https://"):
        raise OSError("not an address of AWS")
    try:
        # S310 asks for the scheme, which is https.
        with urllib.request.urlopen(address, timeout=FETCH_SECONDS_MAX) as answer:  # noqa: S310
            content: bytes = answer.read(ZIP_BYTES_MAX + 1)
    except HTTPException as error:
        raise OSError(type(error).__name__) from error
    return content
