"""
`python -m drainer`.
"""

import sys


def advice(missing: str, prefix: str, base_prefix: str) -> str:
    """
    Return what to do without a library: use the environment, or make a broken one again.
    """
    if prefix == base_prefix:
        return f"error: {missing}: run `make demo`, then .venv/bin/python -m drainer"
    return f"error: {missing}: delete the environment (rm -rf {prefix}) and run `make demo`"


try:
    from drainer.cli.app import app
except ModuleNotFoundError as error:
    sys.exit(advice(str(error), sys.prefix, sys.base_prefix))

if __name__ == "__main__":
    app(prog_name="python -m drainer")
