"""
`drainer attach`, `detach` and `list`: a group's hook, made and deleted by CloudFormation.
"""
