"""What is installed in an account, what runs there, and what its owners were promised."""
