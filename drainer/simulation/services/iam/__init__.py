"""IAM: what a policy allows, and a gate before each call."""
