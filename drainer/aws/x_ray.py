"""The gateway to X-Ray, to which the traces of drains are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.aws.calls import ask, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What the traces of drains need; infra/drainer.yaml grants it.
TRACE_CALLS = {"xray": ("PutTraceSegments",)}


class XRayGateway:
    """
    X-Ray, as far as it takes documents.

    Args:
        client: Makes boto3's client; asked for the first drain that is traced.
    """

    def __init__(self, client: Callable[[], Any]) -> None:
        self._client = client

    @understood
    def put(self, documents: Sequence[str]) -> list[str]:
        """Send documents; return why some were refused, each reason once."""
        answer = ask(self._client().put_trace_segments, TraceSegmentDocuments=list(documents))
        refused = answer.get("UnprocessedTraceSegments") or ()
        return sorted({f"{one.get('ErrorCode')}: {one.get('Message')}" for one in refused})
