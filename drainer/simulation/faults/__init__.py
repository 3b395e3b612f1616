"""What goes wrong in an account, as a seed decides."""
