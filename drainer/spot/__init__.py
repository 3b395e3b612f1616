"""Spot interruptions of EC2 instances and Fargate tasks: two minutes, and no hook that waits."""
