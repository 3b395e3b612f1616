"""
Put answers where CloudFormation waits for them: one HTTP PUT to a signed URL, which is not logged.
"""

from __future__ import annotations

import logging

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout

from drainer.errors import MisconfiguredError, UnavailableError

# Three attempts of three seconds at most, and a second of back-off: what fails is tried again by
# the next pass.
TIMEOUT = Timeout(connect=1.0, read=2.0)
RETRY = Retry(
    total=2,
    redirect=False,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=("PUT",),
    backoff_factor=0.5,
    respect_retry_after_header=False,  # it may name minutes, which an invocation has not
    raise_on_status=False,
)
SUCCESSES = range(200, 300)
# The signature has expired, or was never one; what else S3 says may pass.
FINAL = frozenset({403, 404})


class ResponseUrlClient:
    """Puts answers."""

    def __init__(self) -> None:
        # It writes whole URLs into the log, at the level of a warning where it tries again.
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=RETRY)

    def __call__(self, url: str, body: bytes, /) -> None:
        """
        Put an answer; what is said of a failure never holds the URL.

        The content type is empty, for the signature was made without one.
        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html

        Raises:
            UnavailableError: It may be taken later.
            MisconfiguredError: It will never be, as when the signature has expired.
        """
        status = self._put(url, body)
        if status in SUCCESSES:
            return
        if isinstance(status, str):
            raise UnavailableError(f"The response URL did not answer ({status})")
        kind = MisconfiguredError if status in FINAL else UnavailableError
        raise kind(f"HTTP status {status}")

    def _put(self, url: str, body: bytes) -> int | str:
        """Return the status; or the kind of error, whose text and context quote the URL."""
        try:
            answer = self._pool.request("PUT", url, body=body, headers={"Content-Type": ""})
        except HTTPError as error:
            return type(error).__name__
        return int(answer.status)
