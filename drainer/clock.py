"""
The one place where the production code reads the time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present instant, aware and in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)
