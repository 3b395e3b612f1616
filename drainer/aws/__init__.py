"""Calls of AWS, here and nowhere else; decides nothing."""
