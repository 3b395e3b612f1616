"""
The reads of explain and status: what cannot be read is remembered, and raises no error.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from drainer.aws.calls import chunks
from drainer.cli.account.reader import Reader, action_of, attempt
from drainer.cli.account.reader import Unread as Unanswered
from drainer.cli.account.session import BoundError, code_of
from drainer.cli.explain.facts import Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAGES_MAX = 10
READS_MAX = 150


class Reads:
    """
    The reads of one command, or of one look of it.

    Args:
        client: Returns boto3's client for a service's name.
        most: How many reads may be made; the others are unread.
        sleep: Waits for so many seconds; None: the reads are not paced.

    Attributes:
        reader: Makes the reads.
        unread: What was not read, and why.
        errors: What AWS has answered instead.
        failures: How many reads have failed.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        most: int = READS_MAX,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.reader = Reader(client, sleep, most)
        self.unread: list[Unread] = []
        self.errors: list[Exception] = []
        self.failures = 0

    @property
    def total(self) -> int:
        """How many reads were made."""
        return self.reader.counts.total()

    @contextmanager
    def another(self) -> Iterator[Reads]:
        """Yield the reads of another look: a limit of its own, the pace of all, counted here."""
        found = Reads(self.reader.source, sleep=self.reader.sleep)
        found.reader.earlier = self.reader.counts
        try:
            yield found
        finally:
            self.reader.counts.update(found.reader.counts)

    def allow(self, more: int) -> None:
        """Let so many more reads be made."""
        self.reader.most += more

    def missed(self, what: str, why: str) -> None:
        """Remember what was not read; the same once."""
        if (one := Unread(what, why)) not in self.unread:
            self.unread.append(one)

    def ask(
        self, service: str, operation: str, *, absent: Sequence[str] = (), **parameters: Any
    ) -> dict[str, Any] | None:
        """
        Return an answer; None where there was none, and {} for an error that says absence.

        Args:
            service: The service of the operation.
            operation: As the client's method is called.
            absent: The codes of AWS that say that what is asked for does not exist.
            parameters: Of the operation.

        Raises:
            ValueError: The operation is no read.
        """
        answer = attempt(self.reader.ask, service, operation, **parameters)
        if not isinstance(answer, Unanswered):
            return answer
        if answer.code in absent:
            return {}
        self._failed(operation, answer.error)
        return None

    def pages(
        self,
        service: str,
        operation: str,
        key: str,
        *,
        most: int = PAGES_MAX,
        whole: bool = False,
        **parameters: Any,
    ) -> list[Any] | None:
        """
        Return the items of at most so many pages; None where the first was not read.

        With `whole` a part is not enough: then one failed page leaves all unread.
        """
        items, error = self.reader.paged(service, operation, key, most, **parameters)
        self._failed(operation, error)
        is_cut = error and not isinstance(error, BoundError)
        return None if (is_cut and whole) or (error and not items) else items

    def batches(
        self,
        service: str,
        operation: str,
        key: str,
        *,
        by: str,
        values: Sequence[Any],
        size: int,
        whole: bool = False,
        **parameters: Any,
    ) -> list[Any] | None:
        """
        Return the items of all values, so many in a call; None where none could be read.

        With `whole` a part is not enough: then one failed call leaves all unread.
        """
        answers = [
            self.ask(service, operation, **parameters, **{by: list(some)})
            for some in chunks(values, size)
        ]
        missing = sum(one is None for one in answers)
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
        failures = [failure for one in answers if one for failure in one.get("failures", ())]
        odd = [one.get("reason", "") for one in failures if one.get("reason") != "MISSING"]
        if odd and whole:
            self.failures += 1
            self.missed(action_of(operation), odd[0])
            missing += 1
        if missing and (whole or missing == len(answers)):
            return None
        return [item for one in answers if one for item in one.get(key, [])]

    def _failed(self, operation: str, error: Exception | None) -> None:
        if error is None:
            return
        self.failures += 1
        self.missed(action_of(operation), code_of(error))
        if not isinstance(error, BoundError):
            self.errors.append(error)
