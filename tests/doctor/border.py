"""
An account at botocore's border: real clients, whose calls are answered from plain values.

What a client is given is judged by AWS's service models before it comes here, and what is answered
is judged by the same models, so that a field that AWS does not have fails the test. A call that is
not a read fails it too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.session import Session
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Callable

REGION = "eu-central-1"
READS = ("BatchGet", "Describe", "Filter", "Get", "List", "Query", "Scan", "Simulate")
# The prefix of a service's actions in an IAM policy, where it is not the name of its client.
PREFIXES = {"elbv2": "elasticloadbalancing"}


class WriteError(AssertionError):
    """
    A command that only reads has made a call that writes.
    """


class GoneError(Exception):
    """
    A call that AWS refuses, for what it asks for does not exist; its argument is AWS's code.
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What botocore reads of an HTTP response.
    """

    status_code: int
    headers: dict[str, str] = field(default_factory=dict)


@cache
def made(service: str) -> Any:
    """
    Return a client that keeps what each call is given.
    """
    client = Session().create_client(
        service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.meta.events.register("before-parameter-build.*.*", given_to)
    return client


def given_to(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["given"] = dict(params)


@dataclass
class Border:
    """
    Answers the calls of real clients from functions by the client's name and method.

    Attributes:
        answers: What answers each, by `service.method`.
        calls: The IAM actions that were used.
        denied: The IAM actions that are refused.
        writes: The IAM actions that write and may be used; none for a command that only reads.
    """

    answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = field(default_factory=dict)
    calls: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    writes: frozenset[str] = frozenset()
    asked: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def client(self, service: str) -> Any:
        """
        Return botocore's client of a service, answered from here.
        """
        client = made(service)
        # One client serves all tests: it is answered by the account that was asked for it last.
        client.meta.events.unregister("before-call.*.*", unique_id="border")
        client.meta.events.register(
            "before-call.*.*",
            lambda model, context, **_: self._answer(service, model, context["given"]),
            unique_id="border",
        )
        return client

    def _answer(self, service: str, model: Any, given: dict[str, Any]) -> Any:
        action = f"{PREFIXES.get(service, service)}:{model.name}"
        if not model.name.startswith(READS) and action not in self.writes:
            raise WriteError(action)
        method = f"{service}.{xform_name(model.name)}"
        self.calls.add(action)
        self.asked[method].append(given)
        if action in self.denied:
            return _refusal("AccessDenied")
        assert method in self.answers, f"the fake has no answer to {method}"
        try:
            answer = self.answers[method](given)
        except GoneError as error:
            return _refusal(str(error))
        if model.output_shape is not None:
            report = ParamValidator().validate(answer, model.output_shape)
            assert not report.has_errors(), f"{method}: {report.generate_report()}"
        return Answer(200), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}


def _refusal(code: str) -> tuple[Answer, dict[str, Any]]:
    body = {
        "Error": {"Code": code, "Message": f"{code}: refused"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return Answer(400), body
