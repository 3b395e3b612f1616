"""What is sent to X-Ray, against moto and botocore's own model, and what its answers become."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from drainer.aws.x_ray import TRACE_CALLS, XRayGateway
from drainer.errors import MisconfiguredError, ThrottledError
from tests.unit.test_drain_traces import life

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def xray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("xray", region_name="us-east-1")


def test_the_documents_of_all_passes_are_one_trace(xray: Any) -> None:
    # Two traces of one drain are what each invocation has already.
    gateway, passes = XRayGateway(lambda: xray), [each for each in life() if each]
    for each in passes:
        assert gateway.put([json.dumps(one) for one in each]) == []

    trace_id = passes[0][0]["trace_id"]
    [trace] = xray.batch_get_traces(TraceIds=[trace_id])["Traces"]
    assert len(trace["Segments"]) == sum(len(each) for each in passes)


def test_a_document_that_was_rejected_is_told_with_its_reason(xray: Any) -> None:
    # The call as a whole succeeds, so that nothing else would tell of it.
    rejected = {"Id": "1", "ErrorCode": "InvalidSegment", "Message": "Trace Size Exceeded"}
    with Stubber(xray) as stub:
        stub.add_response(
            "put_trace_segments",
            {"UnprocessedTraceSegments": [rejected, {**rejected, "Id": "2"}]},
            {"TraceSegmentDocuments": ["{}", "[]"]},
        )

        assert XRayGateway(lambda: xray).put(["{}", "[]"]) == [
            "InvalidSegment: Trace Size Exceeded"
        ]


@pytest.mark.parametrize(
    ("code", "error"),
    [("AccessDeniedException", MisconfiguredError), ("ThrottledException", ThrottledError)],
)
def test_a_refusal_is_an_error_of_ours(xray: Any, code: str, error: type[Exception]) -> None:
    # Any other error would end the invocation, and every drain in it would come again.
    with Stubber(xray) as stub:
        stub.add_client_error("put_trace_segments", code, http_status_code=400)

        with pytest.raises(error):
            XRayGateway(lambda: xray).put(["{}"])


def test_the_operation_is_one_of_x_ray() -> None:
    # The role grants what is named here.
    ((service, names),) = TRACE_CALLS.items()
    operations = boto3.client(service, region_name="us-east-1").meta.method_to_api_mapping

    assert set(names) == {operations["put_trace_segments"]}
