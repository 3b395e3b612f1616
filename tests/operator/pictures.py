"""
Pictures of what `status` and `explain` print of planted accounts (`make docs`).
"""

from __future__ import annotations

import io
import re
from datetime import UTC
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from drainer.cli.demo.stuck.planted import HERE, NOW, draining
from drainer.cli.demo.stuck.plants import TOGETHER
from drainer.cli.explain.causes import Cause
from drainer.cli.explain.show import show as explain
from drainer.cli.status.show import Question
from drainer.cli.status.show import show as status

DOCS = Path(__file__).resolve().parents[2] / "docs"
COLUMNS = 80
# Rich's own format takes its font from another site.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code", "Menlo, Consolas, DejaVu Sans Mono"
)


def pictures() -> dict[str, str]:
    """
    Return each picture by its file's name.
    """
    found = {}
    for name, cause in (("status", Cause.STANDALONE_TASK), ("explain", Cause.PORT_TAKEN)):
        account = draining(ours=True)
        TOGETHER[cause](account)
        console = Console(
            record=True,
            width=COLUMNS,
            file=io.StringIO(),
            force_terminal=True,
            color_system="standard",
        )
        if name == "status":
            status(Question(), client=account.aws.client, now=NOW, console=console, zone=UTC)
        else:
            explain(
                HERE,
                cluster=None,
                stack="drainer",
                cause=None,
                json_wanted=False,
                client=account.aws.client,
                now=NOW,
                console=console,
                zone=UTC,
            )
        title = f"drainer {name}{f' {HERE}' if name == 'explain' else ''}"
        found[f"{name}.svg"] = console.export_svg(title=title, code_format=FORMAT, unique_id=name)
    return found


if __name__ == "__main__":
    for file, svg in pictures().items():
        (DOCS / file).write_text(svg, encoding="utf-8")
