"""
AWS's wire protocols, both directions, driven by botocore's service models.

The query protocol (Auto Scaling, CloudFormation, Elastic Load Balancing, SNS), EC2's kind of it and
JSON (ECS, DynamoDB), as far as the operations here need them. What the model does not know is
refused, on either side.
https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
https://smithy.io/2.0/aws/protocols/aws-ec2-query-protocol.html
https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from xml.etree.ElementTree import Element, SubElement, tostring

from drainer.simulation.protocol.client import service_model
from drainer.simulation.records import ApiError, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# No request of ours has lists as long as this; one that has is refused, not read for ever.
LIST_MAX = 10_000


def parse_request(
    service: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, dict[str, Any]]:
    """Return the operation and its parameters."""
    model = service_model(service)
    if _is_json(model):
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
        given = json.loads(body or b"{}")
        shape = _operation(model, operation).input_shape
        return operation, _from_json(shape, given) if shape is not None else {}
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    operation = fields.get("Action", "")
    shape = _operation(model, operation).input_shape
    reader = _FieldReader(fields, is_ec2=_is_ec2(model))
    return operation, (reader.read(shape, "") if shape is not None else None) or {}


def render_answer(
    service: str, operation: str, answer: Mapping[str, Any], request_id: str
) -> tuple[str, bytes]:
    """Return the content type and the body of an answer."""
    model = service_model(service)
    shape = _operation(model, operation).output_shape
    if _is_json(model):
        plain = _to_json(shape, answer) if shape is not None else {}
        return _json_type(model), json.dumps(plain).encode()
    root = Element(f"{operation}Response", xmlns=model.metadata["xmlNamespace"])
    if _is_ec2(model):
        SubElement(root, "requestId").text = request_id
        if shape is not None:
            _fill_structure(root, shape, answer)
        return "text/xml", tostring(root)
    if shape is not None:
        result = SubElement(root, shape.serialization.get("resultWrapper", f"{operation}Result"))
        _fill_structure(result, shape, answer)
    SubElement(SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
    return "text/xml", tostring(root)


def render_error(service: str, error: ApiError, request_id: str) -> tuple[str, bytes]:
    """Return the content type and the body of a refusal."""
    model = service_model(service)
    if _is_json(model):
        plain = {"__type": error.code, "message": error.message, **error.shown}
        return _json_type(model), json.dumps(plain).encode()
    if _is_ec2(model):
        root = Element("Response")
        inner = SubElement(SubElement(root, "Errors"), "Error")
        SubElement(inner, "Code").text = error.code
        SubElement(inner, "Message").text = error.message
        SubElement(root, "RequestID").text = request_id
        return "text/xml", tostring(root)
    root = Element("ErrorResponse")
    inner = SubElement(root, "Error")
    SubElement(inner, "Type").text = "Sender" if error.http_status < 500 else "Receiver"
    SubElement(inner, "Code").text = error.code
    SubElement(inner, "Message").text = error.message
    SubElement(root, "RequestId").text = request_id
    return "text/xml", tostring(root)


def _is_ec2(model: Any) -> bool:
    return bool(model.metadata["protocol"] == "ec2")


def _is_json(model: Any) -> bool:
    # CloudWatch's first protocol is another one, and the client's choice is JSON.
    return model.resolved_protocol in {"json", "rest-json"}


def _json_type(model: Any) -> str:
    return f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.1')}"


def _operation(model: Any, operation: str) -> Any:
    if operation not in model.operation_names:
        raise ApiError("InvalidAction", f"{operation} is not an operation of {model.service_id}")
    return model.operation_model(operation)


# Requests

READ_TEXT: dict[str, Callable[[str], Any]] = {
    "boolean": lambda text: text == "true",
    "integer": int,
    "long": int,
    "double": float,
    "float": float,
    "blob": base64.b64decode,
    "timestamp": datetime.fromisoformat,
}


class _FieldReader:
    """Reads the values of a query request out of its fields."""

    def __init__(self, fields: Mapping[str, str], *, is_ec2: bool) -> None:
        self._fields = fields
        self._is_ec2 = is_ec2

    def read(self, shape: Any, prefix: str) -> Any:
        """Read a value; None where nothing of it was sent."""
        if shape.type_name == "structure":
            members = {
                name: self.read(member, _join(prefix, self._name(name, member)))
                for name, member in shape.members.items()
            }
            return {name: value for name, value in members.items() if value is not None} or None
        if shape.type_name == "list":
            if self._fields.get(prefix) == "":
                return []
            # EC2's lists are all flat, whatever the model says of their items.
            flattened = self._is_ec2 or shape.serialization.get("flattened")
            item = "" if flattened else shape.member.serialization.get("name", "member")
            return self._items(shape.member, _join(prefix, item)) or None
        if shape.type_name == "map":
            return None
        text = self._fields.get(prefix)
        if text is None:
            return None
        return READ_TEXT.get(shape.type_name, str)(text)

    def _items(self, member: Any, prefix: str) -> list[Any]:
        items: list[Any] = []
        for number in range(1, LIST_MAX + 1):
            value = self.read(member, _join(prefix, str(number)))
            if value is None:
                return items
            items.append(value)
        raise ApiError("ValidationError", f"A list has more than {LIST_MAX} members")

    def _name(self, name: str, member: Any) -> str:
        if not self._is_ec2:
            return _field_name(name, member)
        # "If the ec2QueryName trait is applied ... use it. If the xmlName trait is applied ...
        # with the first letter capitalized. Otherwise, the member name": the Smithy page above.
        named = member.serialization.get("queryName")
        field_name = _field_name(name, member)
        return str(named or field_name[0].upper() + field_name[1:])


def _join(prefix: str, name: str) -> str:
    return ".".join(part for part in (prefix, name) if part)


def _field_name(name: str, member: Any) -> str:
    return str(member.serialization.get("name", name))


def _from_json(shape: Any, value: Any) -> Any:
    if value is None:
        return None
    if shape.type_name == "structure":
        return {
            name: _from_json(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [_from_json(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {name: _from_json(shape.value, item) for name, item in value.items()}
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC)
    return value


# Answers


def _known(shape: Any, value: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """List what of a structure is to be sent; a member the model lacks is our mistake."""
    unknown = set(value) - set(shape.members)
    if unknown:
        message = f"{shape.name} has no members {sorted(unknown)}"
        raise AssertionError(message)
    return [
        (name, member, value[name])
        for name, member in shape.members.items()
        if value.get(name) is not None
    ]


def _to_json(shape: Any, value: Any) -> Any:
    if shape.type_name == "structure":
        return {name: _to_json(member, item) for name, member, item in _known(shape, value)}
    if shape.type_name == "list":
        return [_to_json(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {name: _to_json(shape.value, item) for name, item in value.items()}
    if shape.type_name == "timestamp":
        return value.timestamp()
    return value


def _fill_structure(parent: Element, shape: Any, value: Mapping[str, Any]) -> None:
    for name, member, item in _known(shape, value):
        _append(parent, _field_name(name, member), member, item)


def _append(parent: Element, name: str, shape: Any, value: Any) -> None:
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        for item in value:
            _append(parent, name, shape.member, item)
        return
    element = SubElement(parent, name)
    if shape.type_name == "structure":
        _fill_structure(element, shape, value)
    elif shape.type_name == "list":
        for item in value:
            _append(element, shape.member.serialization.get("name", "member"), shape.member, item)
    else:
        element.text = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return stamp(value.astimezone(UTC))
    return str(value)
