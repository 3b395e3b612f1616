"""When one EC2 instance may leave its cluster: look, decide, act. Knows no hook and no stack."""
