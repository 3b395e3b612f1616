"""
What the source of a function shows that it does. The source is read, never run, kept or printed.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib

from drainer.cli.account.reader import Unread
from drainer.cli.adopt.facts import Sign

# The old drainers are one file of some hundred lines. More is somebody's own program.
ZIP_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX = 2_000_000, 256_000, 20
SUFFIXES = (".py", ".js", ".mjs")
SIGNS = {
    Sign.DRAINS: r"update_?container_?instances_?state",
    Sign.COMPLETES: r"complete_?lifecycle_?action",
    Sign.HEARTBEATS: r"record_?lifecycle_?action_?heartbeat",
    Sign.PUBLISHES: r"\.publish\(",
    Sign.SLEEPS: r"\bsleep\(|setTimeout\(",
    Sign.RUNNING: r"runningTasksCount",
    Sign.PENDING: r"pendingTasksCount",
    Sign.TOKEN: r"LifecycleActionToken",
    Sign.PAGES: r"get_paginator|nextToken",
}


def signs(content: bytes) -> frozenset[Sign] | Unread:
    """Return what the sources in a function's zip show."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            named = [
                one
                for one in archive.infolist()
                if one.filename.endswith(SUFFIXES)
                and "/" not in one.filename
                and one.file_size <= FILE_BYTES_MAX
            ]
            text = "\n".join(
                archive.read(one).decode(errors="replace") for one in named[:FILES_MAX]
            )
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        return Unread(f"Its zip was not read: {error}")
    if not text:
        return Unread("Its zip holds no Python or JavaScript at the top")
    return frozenset(
        sign for sign, pattern in SIGNS.items() if re.search(pattern, text, re.IGNORECASE)
    )
