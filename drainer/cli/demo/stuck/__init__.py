"""
The demo of stuck drains: an account with planted answers, served on this machine for `explain`.
"""
