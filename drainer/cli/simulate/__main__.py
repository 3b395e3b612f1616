"""
`python -m drainer.cli.simulate`.
"""

from drainer.cli.simulate.command import app

if __name__ == "__main__":
    app(prog_name="python -m drainer.cli.simulate")
