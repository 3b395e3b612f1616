"""CloudFormation: stacks, and the requests of custom resources."""
