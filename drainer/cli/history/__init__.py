"""
`drainer history` and `drainer report`: what has drained, from the records in the stack's table.
"""
