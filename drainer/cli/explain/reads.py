"""
Reads of an account, counted and bounded: what cannot be read is remembered, and raises no error.

It reads only: another operation is refused before it is called.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

from drainer.cli.account.session import AWS_ERRORS, code_of
from drainer.cli.explain.facts import Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READ_PREFIXES = ("describe_", "list_", "get_")
PAGES_MAX = 10
READS_MAX = 150


class Reads:
    """
    The reads of one command, or of one look of it.

    Args:
        client: Returns boto3's client for a service's name.
        most: How many reads may be made; the others are unread.

    Attributes:
        unread: What was not read, and why.
        counts: How many reads were made of each service.
    """

    def __init__(self, client: Callable[[str], Any], most: int = READS_MAX) -> None:
        self.client = client
        self.unread: list[Unread] = []
        self.counts: Counter[str] = Counter()
        self.errors: list[Exception] = []
        self._most = most

    @property
    def total(self) -> int:
        """How many reads were made."""
        return self.counts.total()

    def count(self, service: str) -> None:
        """Count a read that is made elsewhere."""
        self.counts[service] += 1

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
        if not operation.startswith(READ_PREFIXES):
            raise ValueError(f"{operation} is no read")
        name = operation.title().replace("_", "")
        if self.total >= self._most:
            self.missed(name, f"the limit of {self._most} reads")
            return None
        self.count(service)
        try:
            answer: dict[str, Any] = getattr(self.client(service), operation)(**parameters)
        except AWS_ERRORS as error:
            code = code_of(error)
            if code in absent:
                return {}
            self.errors.append(error)
            self.missed(name, code)
            return None
        return answer

    def pages(
        self,
        service: str,
        operation: str,
        key: str,
        *,
        token: str = "nextToken",  # noqa: S107 (a name of a parameter)
        most: int = PAGES_MAX,
        **parameters: Any,
    ) -> list[Any] | None:
        """Return the items of at most so many pages; None where the first was not read."""
        items: list[Any] = []
        cursor: dict[str, Any] = {}
        for number in range(most):
            answer = self.ask(service, operation, **parameters, **cursor)
            if answer is None:
                return items if number else None
            items += answer.get(key, [])
            if not answer.get(token):
                return items
            cursor = {token: answer[token]}
        self.missed(operation.title().replace("_", ""), f"more than {most} pages")
        return items

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
            for some in batched(values, size)
        ]
        missing = sum(one is None for one in answers)
        if missing and (whole or missing == len(answers)):
            return None
        return [item for one in answers if one for item in one.get(key, [])]


def batched(items: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Split items into tuples of at most so many. No items, no tuple."""
    left = iter(items)
    yield from iter(lambda: tuple(itertools.islice(left, size)), ())
