"""
A look-alike of a boto3 client for runs by the thousand: no model, no judgement of parameters.

The tests use `client.InProcessClient`, which judges every call by botocore's own models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Performs


class QuickClient:
    """What `boto3.client(service)` would return, as far as it raises `ClientError`."""

    def __init__(self, service: str, perform: Performs) -> None:
        self._service = service
        self._perform = perform

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        """Return the method that calls the operation of this name."""
        operation = "".join(word.capitalize() for word in name.split("_"))

        def method(**parameters: Any) -> dict[str, Any]:
            try:
                return self._perform(self._service, operation, parameters)
            except ApiError as error:
                raise ClientError(_answer(error), operation) from error

        # The next look-up finds it without coming here.
        self.__dict__[name] = method
        return method


def _answer(error: ApiError) -> Any:
    return {
        **error.shown,
        "Error": {"Code": error.code, "Message": error.message},
        "ResponseMetadata": {"HTTPStatusCode": error.http_status, "RetryAttempts": 0},
    }
