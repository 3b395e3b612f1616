"""Custom::ECSDrain: requests of CloudFormation, each answered once."""
