"""
What the commands that an operator types have in common: the user's AWS account, and the screen.
"""
