"""EC2: Spot interruptions and Spot Fleets."""
