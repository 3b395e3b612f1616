"""
The drainer: EC2 instances leave an Amazon ECS cluster and nothing on them is cut short.
"""
