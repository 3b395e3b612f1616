"""
What people type: `python -m drainer`. Never in the function's zip.
"""
