"""
Lambda's entry point, `drainer.start.lambda_handler`: the handler, imported at less cost.
"""

import gc

# A start makes a hundred thousand objects that stay, and Python searched them for garbage again and
# again: a fifth of the start. Afterwards they are left out of each search.
gc.disable()

from drainer.handler import lambda_handler  # noqa: E402 - after the line above, which is the point

gc.freeze()
gc.enable()

__all__ = ["lambda_handler"]
