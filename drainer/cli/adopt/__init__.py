"""
Find the hooks of old drainers in an account, and plan the change that replaces each.
"""
