"""
What drains in an account, one line for each container instance.
"""
