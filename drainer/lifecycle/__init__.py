"""What a terminating hook is owed: heartbeats, re-invocations, the answer, and the sweep."""
