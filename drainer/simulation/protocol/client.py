"""
A look-alike of a boto3 client that calls the simulated account in process.

botocore's own service models name the methods, judge the parameters and class the errors, so the
production gateways run on it unmodified. It does not retry: a throttle reaches the caller.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore import xform_name
from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import ParamValidationError
from botocore.paginate import Paginator, PaginatorModel
from botocore.validate import ParamValidator

from drainer.simulation.records import ApiError

# No text or list of these services has a larger minimum (DynamoDB's export has 112), and botocore
# judges neither maximum nor pattern.
MINIMUM_MAX = 128

if TYPE_CHECKING:
    from collections.abc import Callable

    from drainer.simulation.account import Performs


@cache
def service_model(service: str) -> Any:
    """Load botocore's model of a service, once."""
    return botocore.session.get_session().get_service_model(service)


@cache
def _operations(service: str) -> dict[str, str]:
    """Map method names to operation names."""
    return {xform_name(name): name for name in service_model(service).operation_names}


@cache
def _exceptions(service: str) -> Any:
    return ClientExceptionsFactory().create_client_exceptions(service_model(service))


@cache
def _paginators(service: str) -> Any:
    loader = botocore.session.get_session().get_component("data_loader")
    return PaginatorModel(loader.load_service_model(service, "paginators-1"))


class InProcessClient:
    """What `boto3.client(service)` would return, without a wire."""

    def __init__(self, service: str, perform: Performs, region: str) -> None:
        self._service = service
        self._perform = perform
        self._region = region
        self.exceptions = _exceptions(service)

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        """Return the method that calls the operation of this name."""
        operation = _operations(self._service).get(name)
        if operation is None:
            message = f"{self._service} has no operation {name}"
            raise AttributeError(message)

        def method(**parameters: Any) -> dict[str, Any]:
            return self._call(operation, parameters)

        # The next look-up finds it without coming here.
        self.__dict__[name] = method
        return method

    def get_paginator(self, name: str) -> Any:
        """Return botocore's own paginator over this client's method."""
        operation = _operations(self._service)[name]
        configuration = _paginators(self._service).get_paginator(operation)
        model = service_model(self._service).operation_model(operation)
        return Paginator(getattr(self, name), configuration, model)

    def can_paginate(self, name: str) -> bool:
        """Say whether botocore knows how to page this operation."""
        try:
            self.get_paginator(name)
        except (KeyError, ValueError):
            return False
        return True

    def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        form = self._service, operation, _form(parameters)
        if form not in APPROVED:
            _judge(self._service, operation, parameters)
            APPROVED.add(form)
        try:
            answer = self._perform(self._service, operation, parameters)
        except ApiError as error:
            raise self.exceptions.from_code(error.code)(_refusal(error), operation) from error
        return {**answer, "ResponseMetadata": {"HTTPStatusCode": 200, "RetryAttempts": 0}}


# A judgement takes as long as a call does, and calls by the ten thousand differ in words alone.
APPROVED: set[tuple[str, str, Any]] = set()


def _judge(service: str, operation: str, parameters: dict[str, Any]) -> None:
    """Refuse what botocore would not send."""
    shape = service_model(service).operation_model(operation).input_shape
    if shape is not None:
        report = ParamValidator().validate(parameters, shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())


def _form(value: Any) -> Any:
    """Return what the judgement depends on: names, types, numbers, and how short a text is."""
    # Made of every part of every call: half a million times where three hundred instances leave.
    kind = type(value)
    if kind is str:
        return min(len(value), MINIMUM_MAX)
    if kind is dict:
        return (*value, *map(_form, value.values()))
    if kind in (list, tuple):
        # Each row is judged for itself: which forms there are counts, and not how often.
        return (kind, min(len(value), MINIMUM_MAX), frozenset(map(_form, value)))
    return (kind, repr(value))


def _refusal(error: ApiError) -> dict[str, Any]:
    return {
        **error.shown,
        "Error": {"Code": error.code, "Message": error.message},
        "ResponseMetadata": {"HTTPStatusCode": error.http_status, "RetryAttempts": 0},
    }
