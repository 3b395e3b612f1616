"""
Explains one instance on a screen, or as JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from drainer.cli.account.refusals import EXIT_NOT_FOUND, refused
from drainer.cli.account.session import EXIT_FAILED, EXIT_OK, EXIT_USAGE, fail
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.estimate import deadline_of, estimate_of
from drainer.cli.explain.judge import DRAINING, judge
from drainer.cli.explain.reader import NotFoundError, explainable
from drainer.cli.explain.reads import Reads
from drainer.cli.explain.rules_host import is_waiting
from drainer.cli.explain.screen import Explanation, as_json, lines
from drainer.cli.explain.summary import Clock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, tzinfo

    from rich.console import Console

    from drainer.cli.explain.facts import Facts


def explained(facts: Facts, zone: tzinfo | None = None) -> Explanation:
    """Return the explanation of facts."""
    verdict = judge(facts)
    return Explanation(
        facts, verdict, deadline_of(facts), estimate_of(facts, verdict), Clock(facts.now, zone)
    )


def show(
    instance: str,
    *,
    cluster: str | None,
    stack: str,
    cause: Cause | None,
    json_wanted: bool,
    client: Callable[[str], Any],
    now: datetime,
    console: Console,
    zone: tzinfo | None = None,
) -> int:
    """Explain one instance; return the exit code."""
    reads = Reads(client)
    try:
        facts = explainable(reads, instance, cluster, stack, now)
    except NotFoundError as error:
        # Where a cluster could not be read, the instance may be in it.
        if error.unread:
            return refused(error.unread)
        return fail(str(error), "check the id and --region", code=EXIT_NOT_FOUND)
    found = facts.instance
    # An instance that Auto Scaling lets go and that was never set DRAINING is stuck as well.
    if found.status != DRAINING and not is_waiting(facts):
        sentence = f"{instance} is {found.status} in cluster {found.cluster}, not draining"
        return fail(sentence, "drainer status lists drains", code=EXIT_NOT_FOUND)
    one = explained(facts, zone)
    if cause and cause not in {finding.cause for finding in one.verdict.findings}:
        causes = ", ".join(dict.fromkeys(finding.cause for finding in one.verdict.findings))
        return fail(f"{cause} is no cause of {instance}", f"its causes: {causes}", code=EXIT_USAGE)
    if json_wanted:
        print(json.dumps(as_json(one)))
    else:
        for line in lines(one, cause):
            console.print(Text(line.text, style=line.colour), soft_wrap=True)
    return EXIT_FAILED if one.verdict.main.cause == Cause.UNREAD else EXIT_OK
