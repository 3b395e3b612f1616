"""
`python -m drainer demo`: a scenario in the embedded account, and what comes of it.
"""
