"""
`python -m drainer`.
"""

import sys

try:
    from drainer.cli.app import app
except ModuleNotFoundError as missing:
    sys.exit(f"error: {missing}: run `make demo`, then .venv/bin/python -m drainer")

if __name__ == "__main__":
    app(prog_name="python -m drainer")
