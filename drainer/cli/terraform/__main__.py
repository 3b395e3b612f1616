"""
The command: write the modules.
"""

from __future__ import annotations

from pathlib import Path

from drainer.cli.terraform.modules import NAMES, module_files

INFRA = Path(__file__).resolve().parents[3] / "infra"
MODULES = INFRA / "terraform" / "modules"


def main() -> None:
    """Write all modules."""
    for path, text in modules().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{MODULES}: {len(NAMES)} modules")


def modules() -> dict[Path, str]:
    """Return the text of each file of the modules, by its path."""
    return {
        MODULES / name / file: text
        for name, files in module_files(INFRA).items()
        for file, text in files.items()
    }


if __name__ == "__main__":
    main()
