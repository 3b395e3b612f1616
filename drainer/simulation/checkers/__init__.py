"""What must hold whatever goes wrong: each broken promise is a violation."""
