from __future__ import annotations

import logging
import socket
import traceback
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from drainer.aws.response_url_client import ResponseUrlClient
from drainer.errors import DrainerError, MisconfiguredError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "X-Amz-Signature=0123456789abcdef"
PATH = f"/arn%3Aaws%3Acloudformation%7CDrain%7C1?X-Amz-Expires=7200&{SECRET}"
BODY = b'{"Status": "SUCCESS"}'
ATTEMPTS_MAX = 3


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Bucket:
    """
    Where CloudFormation waits for answers, on this machine.

    Attributes:
        url: Where an answer is to be put.
        says: The HTTP statuses that it says, and the headers beside; 200 when there are no more.
        asked: What it was asked, in order.
    """

    url: str
    says: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            status, headers = there.says.pop(0) if there.says else (200, {})
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_PUT = do_GET = do_POST = take  # noqa: N815 (the library's names)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    there = Bucket(f"http://127.0.0.1:{server.server_port}{PATH}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield there
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def deaf() -> Iterator[str]:
    """
    An address that takes connections and never answers.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}{PATH}"


def statuses(*codes: int) -> list[tuple[int, dict[str, str]]]:
    return [(code, {}) for code in codes]


def hides_the_url(error: DrainerError) -> bool:
    """
    Whether neither what is said of an error, nor what Python prints of it, quotes the URL.
    """
    told = [str(error), repr(error), repr(error.__cause__), *traceback.format_exception(error)]
    return not any(SECRET in text or "arn%3Aaws" in text for text in told)


def test_an_answer_is_put_once_as_it_is(bucket: Bucket) -> None:
    ResponseUrlClient()(bucket.url, BODY)

    [asked] = bucket.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", PATH, BODY)


def test_the_content_type_is_empty(bucket: Bucket) -> None:
    # The signature was made without one: any other is refused by S3, and so the stack waits.
    ResponseUrlClient()(bucket.url, BODY)

    [asked] = bucket.asked
    assert asked.headers["Content-Type"] == ""
    assert asked.headers["Content-Length"] == str(len(BODY))
    assert "Transfer-Encoding" not in asked.headers


@pytest.mark.parametrize("status", [200, 201, 204])
def test_every_success_is_one(bucket: Bucket, status: int) -> None:
    bucket.says = statuses(status)

    ResponseUrlClient()(bucket.url, BODY)

    assert len(bucket.asked) == 1


def test_what_fails_twice_is_put_a_third_time(bucket: Bucket) -> None:
    # One pass can so ride out what S3 says of itself while it is busy.
    bucket.says = statuses(503, 503, 200)

    ResponseUrlClient()(bucket.url, BODY)

    assert [asked.body for asked in bucket.asked] == [BODY] * 3
    assert {asked.headers["Content-Type"] for asked in bucket.asked} == {""}


def test_how_long_to_wait_is_not_left_to_the_other_end(bucket: Bucket) -> None:
    # An invocation has thirty seconds; who obeys an hour has answered nobody.
    bucket.says = [(503, {"Retry-After": "3600"})]

    ResponseUrlClient()(bucket.url, BODY)

    assert len(bucket.asked) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_goes_on_failing_is_left_to_the_next_pass(bucket: Bucket, status: int) -> None:
    bucket.says = statuses(*[status] * 10)

    with pytest.raises(UnavailableError, match=f"HTTP status {status}") as failure:
        ResponseUrlClient()(bucket.url, BODY)

    assert len(bucket.asked) == ATTEMPTS_MAX
    assert hides_the_url(failure.value)


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_for_good(bucket: Bucket, status: int) -> None:
    # A signature that has expired stays so: another hundred attempts change nothing.
    bucket.says = statuses(status)

    with pytest.raises(MisconfiguredError, match=f"HTTP status {status}") as failure:
        ResponseUrlClient()(bucket.url, BODY)

    assert len(bucket.asked) == 1
    assert hides_the_url(failure.value)


@pytest.mark.parametrize("status", [400, 408, 410, 501])
def test_what_else_is_said_may_pass_but_not_within_this_pass(bucket: Bucket, status: int) -> None:
    # S3 says 400 where a connection was too slow for it.
    bucket.says = statuses(status)

    with pytest.raises(UnavailableError, match=f"HTTP status {status}") as failure:
        ResponseUrlClient()(bucket.url, BODY)

    assert len(bucket.asked) == 1
    assert hides_the_url(failure.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(bucket: Bucket, status: int) -> None:
    # An answer that goes where somebody else says tells him of the stack, or does what he wants.
    elsewhere = bucket.url.replace("/arn", "/elsewhere/arn")
    bucket.says = [(status, {"Location": elsewhere})]

    with pytest.raises(UnavailableError, match=f"HTTP status {status}") as failure:
        ResponseUrlClient()(bucket.url, BODY)

    assert [asked.path for asked in bucket.asked] == [PATH]
    assert hides_the_url(failure.value)


def test_silence_is_left_to_the_next_pass_and_the_url_is_not_told(
    deaf: str, caplog: pytest.LogCaptureFixture
) -> None:
    # urllib3 quotes the whole URL in what it raises, and warns of each attempt with it, which
    # Lambda keeps; whoever reads it could answer in our place.
    caplog.set_level(logging.DEBUG)

    with pytest.raises(UnavailableError, match="did not answer") as failure:
        ResponseUrlClient()(deaf, BODY)

    assert hides_the_url(failure.value)
    assert SECRET not in caplog.text


def test_an_answer_that_is_taken_puts_no_url_into_the_log(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    # Whoever looks for a fault turns the log up, also that of the libraries.
    caplog.set_level(logging.DEBUG)
    bucket.says = statuses(503)

    ResponseUrlClient()(bucket.url, BODY)

    assert SECRET not in caplog.text


def test_a_connection_refused_is_left_to_the_next_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(UnavailableError, match="did not answer") as failure:
        ResponseUrlClient()(f"http://127.0.0.1:{port}{PATH}", BODY)

    assert hides_the_url(failure.value)


@pytest.mark.parametrize("url", [f"https://x.amazonaws.com:99999{PATH}", f"https://[::1{PATH}"])
def test_what_is_no_url_is_told_by_its_kind_alone(url: str) -> None:
    with pytest.raises(UnavailableError, match="did not answer") as failure:
        ResponseUrlClient()(url, BODY)

    assert hides_the_url(failure.value)


def test_answers_to_several_requests_reach_each_its_own(bucket: Bucket) -> None:
    # One ResponseUrlClient serves all requests that a warm function sees.
    respond = ResponseUrlClient()
    bucket.says = statuses(403)

    with pytest.raises(MisconfiguredError):
        respond(bucket.url, b"1")
    respond(f"{bucket.url}2", b"2")

    assert [(asked.path, asked.body) for asked in bucket.asked] == [
        (PATH, b"1"),
        (f"{PATH}2", b"2"),
    ]


def test_the_context_of_a_failure_does_not_quote_the_url() -> None:
    # "from None" hides it from a traceback; it is there for whoever walks the chain.
    with pytest.raises(UnavailableError) as failure:
        ResponseUrlClient()(f"http://127.0.0.1:1{PATH}", BODY)

    assert SECRET not in repr((failure.value.__cause__, failure.value.__context__))
