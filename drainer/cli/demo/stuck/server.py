"""
Serves planted accounts on loopback, in AWS's wire protocols, for an unmodified boto3.
"""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from drainer.cli.demo.stuck.planted_aws import Refused
from drainer.simulation.protocol.client import service_model
from drainer.simulation.protocol.server import SCOPE
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
BODY_BYTES_MAX = 1_048_576
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

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(_Handler):
            answer = staticmethod(owner._answer)

        return Handler

    def _answer(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        # One at a time: an account notes its calls, and makes its clients on demand.
        with self._lock:
            return self._account().answer(
                service_model(service).operation_model(operation), parameters
            )


class _Handler(BaseHTTPRequestHandler):
    answer: Callable[[str, str, dict[str, Any]], dict[str, Any]]
    protocol_version = "HTTP/1.1"
    # Unbuffered small writes meet the client's delayed acknowledgement: 40 ms for each answer.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer a request of a REST service."""
        self._serve(b"")

    def do_POST(self) -> None:
        """Answer one AWS request."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self.send_error(413)
            return
        self._serve(self.rfile.read(length))

    def _serve(self, body: bytes) -> None:
        scope = SCOPE.search(self.headers.get("Authorization") or "")
        service = SERVICES.get(scope["name"]) if scope else None
        if service is None:
            self.send_error(400, "the request is not signed for a service that is planted")
            return
        request_id = str(uuid4())
        try:
            operation, parameters = self._request(service, body)
            answer = self.answer(service, operation, parameters)
            status, found = 200, render_answer(service, operation, answer, request_id)
        except (ApiError, Refused) as error:
            refusal = ApiError(error.code, error.message)
            status, found = refusal.http_status, render_error(service, refusal, request_id)
        except (AssertionError, AttributeError, LookupError, TypeError) as error:
            # A write, or a read that is not planted. The client is told, and does not wait.
            refusal = ApiError("UnsupportedOperation", f"This account is planted: {error}")
            status, found = refusal.http_status, render_error(service, refusal, request_id)
        content_type, text = found
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("x-amzn-RequestId", request_id)
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

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

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay silent: the screen belongs to the demo."""
