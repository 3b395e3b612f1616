"""
The account over HTTP on loopback, in AWS's wire protocols, for an unmodified boto3.

Point `AWS_ENDPOINT_URL_ECS`, `AWS_ENDPOINT_URL_AUTO_SCALING`, `AWS_ENDPOINT_URL_EC2` and
`AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2` at `Server.url`.
"""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from drainer.simulation.protocol.wire import parse_request, render_answer, render_error
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from drainer.simulation.account import Account

# The service that a request is signed for is the service it is meant for.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/(?P<name>[^/]+)/aws4_request")
SERVICES = {
    "autoscaling": "autoscaling",
    "cloudformation": "cloudformation",
    "dynamodb": "dynamodb",
    "ec2": "ec2",
    "ecs": "ecs",
    "elasticloadbalancing": "elbv2",
    "sns": "sns",
}
BODY_BYTES_MAX = 1_048_576
TICK_SECONDS = 0.02
STOP_SECONDS_MAX = 5.0


class Server:
    """
    Serves one account on a free port of 127.0.0.1.

    Attributes:
        account: the account that is served.
        lock: to be held while the account is changed and the server runs. Listeners of the account
            run with it held, so they must not wait for anything that calls this server.
        failures: exceptions that are mistakes of the simulation; a test should see none.
    """

    def __init__(
        self,
        account: Account,
        now: Callable[[], datetime] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.account = account
        self.lock = threading.RLock()
        self.failures: list[BaseException] = []
        self._now = now
        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """The endpoint URL, for every service."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> Self:
        """Begin to serve and to let time pass."""
        serve = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._threads = [serve, threading.Thread(target=self._tick, daemon=True)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Stop serving; safe to call again."""
        self._stopping.set()
        if self._threads:
            self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(STOP_SECONDS_MAX)
        self._threads = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def perform(self, service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call the account as of now; one call at a time."""
        with self.lock:
            self.catch_up()
            return self.account.call(service, operation, parameters)

    def catch_up(self) -> None:
        """Let the account's time reach the present."""
        if self._now is not None:
            with self.lock:
                self.account.advance_to(self._now())

    def _tick(self) -> None:
        # Timers must fire although no call comes. Bounded by stop().
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self.catch_up()
            except Exception as error:  # noqa: BLE001 - kept for the test that looks at it
                self.failures.append(error)
                return

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(_Handler):
            server_side = owner

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A crowd opens its connections at once.
    request_queue_size = 256


class AwsRequestHandler(BaseHTTPRequestHandler):
    """
    Takes AWS requests; a subclass answers them.

    Attributes:
        services: botocore's names of the services that are served, by the name that requests are
            signed for.
        served_as: what those services are, in a word.
    """

    services: Mapping[str, str] = SERVICES
    served_as = "simulated"
    protocol_version = "HTTP/1.1"
    # Unbuffered small writes meet the client's delayed acknowledgement: 40 ms for each answer.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer one AWS request."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_BYTES_MAX:
            self.send_error(413)
            return
        self.answer(self.rfile.read(length))

    def answer(self, body: bytes) -> None:
        """Answer a request with a body."""
        scope = SCOPE.search(self.headers.get("Authorization") or "")
        service = self.services.get(scope["name"]) if scope else None
        if service is None:
            text = f"the request is not signed for a service that is {self.served_as}"
            self.send_error(400, text)
            return
        request_id = str(uuid4())
        status, content_type, answer = self.serve(service, body, request_id)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("x-amzn-RequestId", request_id)
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    def serve(self, service: str, body: bytes, request_id: str) -> tuple[int, str, bytes]:
        """Return the status, the type of the content, and the content."""
        raise NotImplementedError

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay silent: the account records its calls, and the screen may be a demo's."""


class _Handler(AwsRequestHandler):
    server_side: Server

    def serve(self, service: str, body: bytes, request_id: str) -> tuple[int, str, bytes]:
        try:
            headers = dict(self.headers.items())
            operation, parameters = parse_request(service, headers, body)
            answer = self.server_side.perform(service, operation, parameters)
            return (200, *render_answer(service, operation, answer, request_id))
        except ApiError as error:
            return (error.http_status, *render_error(service, error, request_id))
        except Exception as error:  # noqa: BLE001 - a mistake of the simulation, kept and reported
            self.server_side.failures.append(error)
            failure = ApiError("InternalFailure", f"simulation: {error!r}", 500)
            return (500, *render_error(service, failure, request_id))
