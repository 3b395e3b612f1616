"""
The record of a request of CloudFormation, as plain values and back, and which message goes on.

It holds the response URL and what is known of each instance, which travel nowhere else. The claim
of a hop is the same as for every record (drainer/drain/conditional_write.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from drainer.codec import instant
from drainer.custom_resource import progress as plain
from drainer.drain.admission import Admission
from drainer.drain.record import REASON_CHARACTERS_MAX, End, Key, Record
from drainer.drain.record_fields import outline, outlined, text
from drainer.errors import MalformedEventError, MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drainer.custom_resource.progress import RequestProgress

# The value of the index's partition key. The sweep of lifecycle actions asks for another one.
OPEN = "3"

# No id of an EC2 instance begins like this: whatever a forged request says of its stack, its record
# is not in the place of a lifecycle action's.
STACK = "request:"

# Longer than an invocation can take (30 s in infra/drainer.yaml), shorter than it takes until a
# message that failed comes back (60 s for an asynchronous invocation, 180 s from a queue).
PASS_SECONDS_MAX = 45


@dataclass(frozen=True, slots=True)
class RequestRecord(Record):
    """
    What is stored of one request, beside what every record has (drainer/drain/record.py).

    Attributes:
        generation: 1; 0 for what is not in the table yet.
        hop: The number of passes written, which is the hop of the message that follows.
        began_at: When CloudFormation began to wait.
        deadline_at: When it must be answered, whatever is left then.
        progress: What the next pass needs, the response URL in it; None exactly once it has ended.
    """

    key: Key
    generation: int
    hop: int
    pass_id: str
    written_at: datetime
    began_at: datetime
    deadline_at: datetime
    progress: RequestProgress | None = field(repr=False)
    phase: str = ""
    reason: str = ""
    end: End = End.OPEN
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        """Keep no more of the reason than a record holds."""
        object.__setattr__(self, "reason", self.reason[:REASON_CHARACTERS_MAX])

    def is_silent(self, now: datetime, pass_interval_seconds: int) -> bool:
        """Whether the record is open and no pass has written it for long."""
        if now < self.deadline_at:
            return Record.is_silent(self, now, pass_interval_seconds)
        # Past the deadline a chain that waits for its next pass has nothing to wait for.
        return self.is_open and now - self.written_at >= timedelta(seconds=PASS_SECONDS_MAX)


def key_of(request: str) -> Key:
    """Return the key of a request's record, by its stack and id as a message names them."""
    stack_id, _, request_id = request.rpartition("|")
    return Key(STACK + stack_id, request_id)


def name_of(key: Key) -> str:
    """Return stack and id of a request as a message names them."""
    return f"{key.instance.removeprefix(STACK)}|{key.subject}"


def admit(hop: int, record: RequestRecord, now: datetime, pass_interval_seconds: int) -> Admission:
    """
    Decide what becomes of a message. The first line that applies counts.

    | the record                          | admission                      |
    |-------------------------------------|--------------------------------|
    | has ended                           | ENDED                          |
    | has the message's hop               | DUE                            |
    | has an earlier hop                  | OTHER: no pass has published it |
    | is silent                           | TAKEOVER, at the record's hop  |
    | else                                | DUPLICATE                      |
    """
    if not record.is_open:
        return Admission.ENDED
    if hop >= record.hop:
        return Admission.DUE if hop == record.hop else Admission.OTHER
    silent = record.is_silent(now, pass_interval_seconds)
    return Admission.TAKEOVER if silent else Admission.DUPLICATE


def encode(record: RequestRecord, retention: timedelta) -> dict[str, Any]:
    """
    Return the record as plain values; what is empty is left out.

    Raises:
        MalformedEventError: The request alone is longer than an item may be.
    """
    kept_from = record.ended_at or record.deadline_at
    return outline(
        record,
        open=OPEN * record.is_open,
        began_at=record.began_at.timestamp(),
        deadline_at=record.deadline_at.timestamp(),
        drain=plain.encode(record.progress) if record.progress else "",
        expires_at=int((kept_from + retention).timestamp()),
    )


def decode(item: Mapping[str, Any]) -> RequestRecord:
    """
    Return the record in plain values.

    Raises:
        MisconfiguredError: A field is missing, unknown or of the wrong kind. The sentence says
            which, and has no URL in it.
    """
    try:
        fields = outlined(item, OPEN)
        state = text(item, "drain", plain.STATE_BYTES_MAX)
        return RequestRecord(
            **fields,
            began_at=instant(item["began_at"]),
            deadline_at=instant(item["deadline_at"]),
            progress=None if fields["end"] else plain.decode(state),
        )
    except (AttributeError, KeyError, TypeError, ValueError, MalformedEventError) as error:
        sentence = f"the request's record cannot be read: {type(error).__name__}: {error}"
        raise MisconfiguredError(sentence[:REASON_CHARACTERS_MAX]) from error
