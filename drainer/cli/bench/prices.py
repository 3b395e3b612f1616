"""
What AWS asks for what is counted, in one place: US East (N. Virginia), without any free tier.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A month of AWS's bills has 730 hours: 8,760 of a year, by twelve.
HOURS_PER_MONTH = 730


class Item(StrEnum):
    """What is paid for."""

    LAMBDA_ARM = "Lambda, arm64: GB-seconds"
    LAMBDA_X86 = "Lambda, x86_64: GB-seconds"
    LAMBDA_REQUESTS = "Lambda: requests"
    SQS = "SQS: requests"
    SNS = "SNS: messages published"
    DYNAMODB_WRITES = "DynamoDB: write units"
    DYNAMODB_READS = "DynamoDB: read units"
    XRAY = "X-Ray: traces recorded"
    LOGS = "CloudWatch: GB of logs taken in"
    ALARMS = "CloudWatch: months of alarm metrics"


@dataclass(frozen=True, slots=True)
class Price:
    """
    A price in dollars.

    Attributes:
        dollars: for so many units.
        units: how many.
        source: the page that says so, in November 2026 or as others quote it in that year.
        assumed: whether no such text was read, so that the figure is from memory.
    """

    dollars: float
    units: float
    source: str
    assumed: bool = False


AWS = "https://aws.amazon.com"
PRICES = {
    Item.LAMBDA_ARM: Price(0.0000133334, 1, f"{AWS}/lambda/pricing/"),
    Item.LAMBDA_X86: Price(0.0000166667, 1, f"{AWS}/lambda/pricing/"),
    Item.LAMBDA_REQUESTS: Price(0.20, 1_000_000, f"{AWS}/lambda/pricing/"),
    Item.SQS: Price(0.40, 1_000_000, f"{AWS}/sqs/pricing/"),
    Item.SNS: Price(0.50, 1_000_000, f"{AWS}/sns/pricing/", assumed=True),
    Item.DYNAMODB_WRITES: Price(0.625, 1_000_000, f"{AWS}/dynamodb/pricing/on-demand/"),
    Item.DYNAMODB_READS: Price(0.125, 1_000_000, f"{AWS}/dynamodb/pricing/on-demand/"),
    Item.XRAY: Price(5.00, 1_000_000, f"{AWS}/xray/pricing/"),
    Item.LOGS: Price(0.50, 1, f"{AWS}/cloudwatch/pricing/"),
    # For each metric that a standard alarm reads, also by an expression. A composite alarm costs
    # $0.50, and a custom metric $0.30 for a month of hours in which it is sent.
    Item.ALARMS: Price(0.10, 1, f"{AWS}/cloudwatch/pricing/"),
}


def money(counts: Mapping[Item, float]) -> dict[Item, float]:
    """Return what each count costs, in dollars."""
    return {
        item: count * PRICES[item].dollars / PRICES[item].units for item, count in counts.items()
    }
