"""
The names of the healthy account, and what AWS makes of them.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tests.doctor.border import REGION

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NUMBER = "123456789012"
GROUP, CLUSTER, STACK = "payments-asg", "payments", "drainer"


def arn(service: str, rest: str) -> str:
    return f"arn:aws:{service}:{REGION}:{NUMBER}:{rest}"


def queue_arn(logical_id: str) -> str:
    return arn("sqs", f"drainer-{logical_id}-1K2J")


TOPIC = arn("sns", "drainer-Topic-1K2J")
PAGER = arn("sns", "ops-pager")
ROLE_NAME = "drainer-payments-NotificationRole-1K2J"
ROLE = f"arn:aws:iam::{NUMBER}:role/{ROLE_NAME}"
BALANCED = arn("elasticloadbalancing", "targetgroup/api/0123456789abcdef")
IMAGE, TEMPLATE = "ami-0c3f91d7e5a2b8046", "lt-0f2a61b7c8d9e0f12"


def physical(logical_id: str, kind: str) -> str:
    """
    Return what CloudFormation calls a resource of the stack.
    """
    named = f"drainer-{logical_id}-1K2J"
    kinds = {
        "AWS::SQS::Queue": f"https://sqs.{REGION}.amazonaws.com/{NUMBER}/{named}",
        "AWS::SNS::Topic": TOPIC,
        "AWS::SNS::Subscription": f"{TOPIC}:{logical_id}",
    }
    return kinds.get(kind, named)
