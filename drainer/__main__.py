"""
`python -m drainer`.
"""

from drainer.cli.app import app

if __name__ == "__main__":
    app(prog_name="python -m drainer")
