"""
`make simulate` and its like: the production code in simulated accounts, and deliberate bugs in it.
"""
