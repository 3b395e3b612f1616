"""
`drainer doctor`: what would go wrong at the next drain, found by reads alone.

`read_*.py` read facts (`facts.py`), `*_checks.py` judge them, `table.py` lists the checks, and
`screen.py` shows them. Only the modules that read call AWS.
"""
