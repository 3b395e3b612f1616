"""
Why a container instance is still draining, for any drain: with or without the drainer's stack.
"""
