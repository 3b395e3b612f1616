"""
Judges `drainer explain` by simulated accounts, whose truth is known: `make simulate-explain`.
"""
