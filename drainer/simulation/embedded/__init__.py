"""The embedded account: ministack and the simulation joined on loopback, in one compressed time."""
