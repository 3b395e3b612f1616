"""
Serves planted accounts on loopback, in AWS's wire protocols, for an unmodified boto3.
"""

from __future__ import annotations

import re
import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from drainer.cli.demo.stuck.planted_aws import Refused
from drainer.simulation.protocol.client import service_model
from drainer.simulation.protocol.server import AwsRequestHandler
from drainer.simulation.protocol.wire import parse_request, render_answer, render_error
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from drainer.cli.demo.stuck.planted_aws import PlantedAws

# By the name that requests are signed for.
SERVICES = {
    "autoscaling": "autoscaling",
    "cloudformation": "cloudformation",
    "dynamodb": "dynamodb",
    "ecs": "ecs",
    "elasticloadbalancing": "elbv2",
    "events": "events",
    "lambda": "lambda",
    "monitoring": "cloudwatch",
    "sqs": "sqs",
    "sts": "sts",
}
STOP_SECONDS_MAX = 5.0


class PlantedServer:
    """
    Serves on a free port of 127.0.0.1 until it is left.

    Args:
        account: returns the account that answers the next request.
    """

    def __init__(self, account: Callable[[], PlantedAws]) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """The endpoint URL, for every service."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_SECONDS_MAX)

    def _handler(self) -> type[AwsRequestHandler]:
        owner = self

        class Handler(_Handler):
            planted = staticmethod(owner._answer)

        return Handler

    def _answer(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        # One at a time: an account notes its calls, and makes its clients on demand.
        with self._lock:
            return self._account().answer(
                service_model(service).operation_model(operation), parameters
            )


class _Handler(AwsRequestHandler):
    planted: Callable[[str, str, dict[str, Any]], dict[str, Any]]
    services = SERVICES
    served_as = "planted"

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        """Answer a request of a REST service."""
        self.answer(b"")

    def serve(self, service: str, body: bytes, request_id: str) -> tuple[int, str, bytes]:
        try:
            operation, parameters = self._request(service, body)
            answer = self.planted(service, operation, parameters)
            return (200, *render_answer(service, operation, answer, request_id))
        except (ApiError, Refused) as error:
            refusal = ApiError(error.code, error.message)
        except (AssertionError, AttributeError, LookupError, TypeError) as error:
            # A write, or a read that is not planted. The client is told, and does not wait.
            refusal = ApiError("UnsupportedOperation", f"This account is planted: {error}")
        return (refusal.http_status, *render_error(service, refusal, request_id))

    def _request(self, service: str, body: bytes) -> tuple[str, dict[str, Any]]:
        """Return the operation and its parameters; a REST path's parameters are not needed."""
        model = service_model(service)
        if model.metadata["protocol"] != "rest-json":
            return parse_request(service, dict(self.headers.items()), body)
        path = self.path.partition("?")[0]
        for name in model.operation_names:
            http = model.operation_model(name).http
            pattern = re.sub(r"\{\w+\}", "[^/]+", http["requestUri"])
            if http["method"] == self.command and re.fullmatch(pattern, path.rstrip("/")):
                return name, {}
        raise ApiError("UnsupportedOperation", f"{self.command} {path} is not planted")
