"""What AWS does, service by service: each knows the account, and those it calls."""
