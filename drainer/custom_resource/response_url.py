"""
Where CloudFormation waits for an answer: a signed URL, and so a secret, which nothing here quotes.
"""

from __future__ import annotations

import re
from typing import Any

from drainer.errors import MalformedEventError

URL_CHARACTERS_MAX = 8_192
# Where CloudFormation waits for answers: a bucket of S3. The emulators of it are on this machine.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-vpce-bucketnames.html
# Each partition has a domain of its own (botocore's partitions.json has them all).
DOMAINS = (
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
)
RESPONSE_URL = re.compile(
    r"https://cloudformation-custom-resource-response-[a-z0-9-]+\.s3([.-][a-z0-9-]+)*\."
    rf"({'|'.join(map(re.escape, DOMAINS))})/[\x21-\x5b\x5d-\x7e]*"
    r"|https?://(localhost|127\.0\.0\.1):[0-9]{1,5}/[\x21-\x5b\x5d-\x7e]*"
)


def response_url(value: Any) -> str:
    """
    Return the URL to answer to.

    Raises:
        MalformedEventError: It does not lead to AWS: responses are sent to AWS only.
    """
    if not isinstance(value, str) or len(value) > URL_CHARACTERS_MAX:
        raise MalformedEventError(f"ResponseURL is not a usable URL ({type(value).__name__})")
    if not RESPONSE_URL.fullmatch(value):
        raise MalformedEventError("ResponseURL does not lead to CloudFormation's bucket")
    return value
