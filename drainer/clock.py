"""
The one place where the production code reads the time, and waits.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present instant, aware and in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)


def sleep(seconds: float) -> None:
    """Wait between two tries of a call; a pass never waits for a drain."""
    time.sleep(seconds)
