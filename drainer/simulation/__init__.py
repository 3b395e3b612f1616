"""
An AWS account in virtual time: Auto Scaling, ECS, load balancer targets and message delivery.

Tests, demo, benchmark and rehearsal live on it; it is never part of the function's zip.
"""
