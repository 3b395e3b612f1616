"""SNS, SQS, EventBridge and Lambda: how messages and events reach a function."""
