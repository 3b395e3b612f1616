"""
What an error of AWS means to the person who typed a command: one line, and an exit code.
"""

from __future__ import annotations

from drainer.cli.account.session import EXIT_FAILED, EXIT_USAGE, code_of, fail

# Beside those of drainer/cli/account/session.py: a name does not exist, access is missing, and
# AWS did not answer.
EXIT_NOT_FOUND, EXIT_NO_ACCESS, EXIT_NO_ANSWER = 3, 4, 5

NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError"})
EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnauthorizedSSOTokenError"}
)
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
THROTTLED = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})


def refused(error: Exception) -> int:
    """Print what AWS's error means in one line; return the exit code."""
    code = code_of(error)
    if code == "NoRegionError":
        return fail("no AWS Region is set", "add --region or set AWS_REGION", code=EXIT_USAGE)
    if code == "ProfileNotFound":
        return fail(str(error), "set --profile or AWS_PROFILE", code=EXIT_USAGE)
    if code in NO_CREDENTIALS:
        advice = "log in (aws sso login) or set --profile or AWS_PROFILE"
        return fail("no AWS credentials found", advice, code=EXIT_NO_ACCESS)
    if code in EXPIRED:
        return fail("the AWS token has expired", "log in again", code=EXIT_NO_ACCESS)
    operation = getattr(error, "operation_name", "the read")
    if code in DENIED:
        advice = "allow the reads that docs/causes.md lists"
        return fail(f"{operation} is denied ({code})", advice, code=EXIT_NO_ACCESS)
    if code in THROTTLED:
        return fail(f"AWS throttles {operation} ({code})", "try again later", code=EXIT_NO_ANSWER)
    if code == "ClusterNotFoundException":
        return fail("there is no such cluster", "check --cluster and --region", code=EXIT_NOT_FOUND)
    if hasattr(error, "response"):
        return fail(f"{operation} failed ({code})", "try again later", code=EXIT_FAILED)
    return fail(f"AWS did not answer ({code})", "try again later", code=EXIT_NO_ANSWER)
