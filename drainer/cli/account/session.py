"""
Clients of the user's own AWS account.

Region and profile are found as the AWS CLI finds them. A command reads with these clients; what may
write says so in its help.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from botocore.parsers import ResponseParserError
from botocore.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

# Of a part of an error: botocore puts the page of a proxy into it. The ids of 50 instances fit.
TEXT_CHARACTERS_MAX = 1_200

# The last is that of an answer that is not one of AWS, such as the page of a proxy.
AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError)


class BoundError(BotoCoreError):  # type: ignore[misc]
    """A command has made as many reads, or read as many pages, as it may."""

    fmt = "{bound}"


# A command that failed, and a command that was typed wrongly. 130 is a shell's code for SIGINT.
EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

# People wait for an answer: at most 3 attempts of 10 s. The adaptive mode slows down where the
# account is throttled, so that a command takes no reads from drains in progress.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
CONFIG = Config(
    connect_timeout=3,
    read_timeout=10,
    retries={"mode": "adaptive", "total_max_attempts": 3},
    user_agent_extra="drainer-cli",
)


def clients(region: str | None = None, profile: str | None = None) -> Callable[[str], Any]:
    """
    Return what makes a service's client, each made once.

    Raises:
        BotoCoreError: There is no such profile, or no Region is set.
    """
    session = Session(profile=profile)
    # botocore reads AWS_DEFAULT_REGION only, and the AWS CLI both.
    region = region or os.environ.get("AWS_REGION") or session.get_config_variable("region")
    if not region:
        # A variable that is set and empty: botocore would make an address of it.
        raise NoRegionError
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.create_client(service, region_name=region, config=CONFIG)
        return made[service]

    return client


def code_of(error: Exception) -> str:
    """Return AWS's code of an error; where no answer came, the bound that was met or its name."""
    if isinstance(error, BoundError):
        return str(error)
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) or type(error).__name__
    return type(error).__name__


def fail(sentence: str, advice: str = "", *, code: int = EXIT_FAILED) -> int:
    """Print an error in one line, with what to do; return the exit code."""
    said = ": ".join(_in_a_line(text) for text in (sentence, advice) if text)
    print(f"error: {said}", file=sys.stderr)
    return code


def _in_a_line(text: str) -> str:
    line = " ".join(text.split())
    if len(line) <= TEXT_CHARACTERS_MAX:
        return line
    return f"{line[: TEXT_CHARACTERS_MAX - 2]}.."
