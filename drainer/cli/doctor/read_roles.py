"""
Reads of a hook's role: whether Auto Scaling may publish with it.

IAM simulates it. Where the caller may not simulate, the role's policies are read instead.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from drainer.cli.account.reader import Unread, UnreadError, attempt
from drainer.cli.account.refusals import DENIED
from drainer.cli.doctor import policies
from drainer.cli.doctor.facts import Role

if TYPE_CHECKING:
    from drainer.cli.account.reader import Reader
    from drainer.cli.doctor.stack_facts import Topic

SERVICE = "autoscaling.amazonaws.com"
PUBLISH = "sns:Publish"
# https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
OF_A_KEY = ("kms:GenerateDataKey", "kms:Decrypt")


def read_role(reader: Reader, arn: str, topic: Topic) -> Role:
    """Return what a role may do at a topic; raises an UnreadError."""
    name = arn.rpartition("/")[2]
    answer = reader.ask("iam", "get_role", RoleName=name)
    trusted = policies.trusts(_document(answer["Role"]["AssumeRolePolicyDocument"]), SERVICE)
    wanted = [(PUBLISH, topic.arn)]
    if topic.kms_key.startswith("arn:"):
        wanted += [(action, topic.kms_key) for action in OF_A_KEY]
    denied = attempt(_simulated, reader, arn, wanted)
    if isinstance(denied, Unread) and denied.code in DENIED:
        denied = attempt(_by_policies, reader, name, wanted, denied)
        return Role(trusted, denied, simulated=False)
    return Role(trusted, denied)


def _simulated(reader: Reader, arn: str, wanted: list[tuple[str, str]]) -> tuple[str, ...]:
    denied: list[str] = []
    for action, resource in wanted:
        found = reader.pages(
            "iam",
            "simulate_principal_policy",
            "EvaluationResults",
            PolicySourceArn=arn,
            ActionNames=[action],
            ResourceArns=[resource],
        )
        if any(one["EvalDecision"] != "allowed" for one in found):
            denied.append(action)
    return tuple(denied)


def _by_policies(
    reader: Reader, name: str, wanted: list[tuple[str, str]], why: Unread
) -> tuple[str, ...]:
    documents = attempt(_documents, reader, name)
    if isinstance(documents, Unread):
        raise UnreadError(why)
    denied: list[str] = []
    for action, resource in wanted:
        allowed = policies.allows(documents, action, resource)
        if allowed is None:
            raise UnreadError(Unread(f"{why.why}, and the role's policies have conditions"))
        if not allowed:
            denied.append(action)
    return tuple(denied)


def _documents(reader: Reader, name: str) -> list[dict[str, Any]]:
    """Return the documents of all policies of a role."""
    inline = reader.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
    managed = reader.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    own = [
        reader.ask("iam", "get_role_policy", RoleName=name, PolicyName=one)["PolicyDocument"]
        for one in inline
    ]
    return [*map(_document, own), *(_managed(reader, one["PolicyArn"]) for one in managed)]


def _managed(reader: Reader, arn: str) -> dict[str, Any]:
    version = reader.ask("iam", "get_policy", PolicyArn=arn)["Policy"]["DefaultVersionId"]
    answer = reader.ask("iam", "get_policy_version", PolicyArn=arn, VersionId=version)
    return _document(answer["PolicyVersion"]["Document"])


def _document(value: Any) -> dict[str, Any]:
    """Return a policy document, which botocore has parsed unless it was asked not to."""
    found: dict[str, Any] = json.loads(unquote(value)) if isinstance(value, str) else value
    return found
