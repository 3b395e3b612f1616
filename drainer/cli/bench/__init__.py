"""
Drain the same simulated account with the drainer and with two others, and count what each costs.
"""
