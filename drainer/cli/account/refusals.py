"""
What an error of AWS means to the person who typed a command: one line, and an exit code.
"""

from __future__ import annotations

from drainer.cli.account.session import EXIT_FAILED, EXIT_USAGE, code_of, fail

# Beside those of session.py: a name does not exist, access is missing, and AWS did not answer.
EXIT_NOT_FOUND, EXIT_NO_ACCESS, EXIT_NO_ANSWER = 3, 4, 5

DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "UnauthorizedOperation",
    }
)
THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})

LOG_IN = "log in (aws sso login), or set --profile or AWS_PROFILE"
NO_REGION = ("no AWS Region is set", "add --region or set AWS_REGION", EXIT_USAGE)
NO_CREDENTIALS = ("no AWS credentials found", LOG_IN, EXIT_NO_ACCESS)
EXPIRED = ("the AWS token has expired", LOG_IN, EXIT_NO_ACCESS)
INVALID = ("AWS does not know these credentials", LOG_IN, EXIT_NO_ACCESS)
UNREACHED = ("AWS was not reached", "check the network and --region, and try again", EXIT_NO_ANSWER)
NOT_AWS = (
    "what answered is not AWS",
    "check the network, its proxy and --region, and try again",
    EXIT_NO_ANSWER,
)
# What is wrong with the caller and not with what was asked for, by AWS's code or botocore's name of
# the error: the sentence, what to do, and the exit code.
OF_THE_CALLER = {
    "NoRegionError": NO_REGION,
    "NoCredentialsError": NO_CREDENTIALS,
    "PartialCredentialsError": NO_CREDENTIALS,
    "SSOTokenLoadError": NO_CREDENTIALS,
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "RequestExpired": EXPIRED,
    "TokenRetrievalError": EXPIRED,
    "UnauthorizedSSOTokenError": EXPIRED,
    "AuthFailure": INVALID,
    "InvalidClientTokenId": INVALID,
    "UnrecognizedClientException": INVALID,
    "ConnectTimeoutError": UNREACHED,
    "EndpointConnectionError": UNREACHED,
    "ReadTimeoutError": UNREACHED,
    "ResponseParserError": NOT_AWS,
}


def refused(error: Exception) -> int:
    """Print what AWS's error means in one line; return the exit code."""
    code = code_of(error)
    if code in OF_THE_CALLER:
        sentence, advice, exit_code = OF_THE_CALLER[code]
        return fail(sentence, advice, code=exit_code)
    if code == "ProfileNotFound":
        return fail(str(error), "set --profile or AWS_PROFILE", code=EXIT_USAGE)
    operation = getattr(error, "operation_name", "the read")
    if code in DENIED:
        advice = "add a permission of infra/operator-policy.json"
        return fail(f"{operation} is denied ({code})", advice, code=EXIT_NO_ACCESS)
    if code in THROTTLED:
        return fail(f"AWS throttles {operation} ({code})", "try again later", code=EXIT_NO_ANSWER)
    if code == "ClusterNotFoundException":
        return fail("there is no such cluster", "check --cluster and --region", code=EXIT_NOT_FOUND)
    if hasattr(error, "response"):
        said = str(error.response.get("Error", {}).get("Message", "")).rstrip(".")
        return fail(f"{operation} failed ({code})", said or "try again later", code=EXIT_FAILED)
    return fail(f"AWS did not answer ({code})", "try again later", code=EXIT_NO_ANSWER)
