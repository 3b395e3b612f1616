"""
The errors that a caller can do something about, each named by what to do.

Anything else is a bug or an unforeseen answer, and is let through.
"""

from __future__ import annotations


class DrainerError(Exception):
    """The base of what can go wrong; its text is a sentence for an operator."""


class MalformedEventError(DrainerError):
    """The message is not one that we understand: refuse it, never retry it."""


class NotForUsError(DrainerError):
    """The message is understood and asks for nothing: ignore it."""


class QuietError(NotForUsError):
    """The message asks for nothing, as most of its kind do: not worth a line in the log."""


class LifecycleActionOverError(DrainerError):
    """Auto Scaling no longer waits for an answer: the drain is at its end."""


class UnavailableError(DrainerError):
    """A throttle, a fault of the service or of the network: the next pass asks again."""


class ThrottledError(UnavailableError):
    """A throttle, so that what was asked for was not done."""


class MisconfiguredError(DrainerError):
    """A denied call, a missing cluster, a refused parameter: it needs a correction by hand."""


class RefusedError(MisconfiguredError):
    """A parameter was refused: what was asked for together may succeed one by one."""


class ClusterMissingError(MisconfiguredError):
    """There is no such cluster: its name may be misspelled."""


class FleetMissingError(MisconfiguredError):
    """There is no such Spot Fleet, or no more."""


class TableMissingError(MisconfiguredError):
    """There is no such DynamoDB table, or no more."""


class OvertakenError(DrainerError):
    """Another pass has written what was to be written: what was read is no longer true."""
