"""
The commands that act on drains: each reads first, says what it is about to do, and asks.
"""
