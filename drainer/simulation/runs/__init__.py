"""One seed from its beginning to its end."""
