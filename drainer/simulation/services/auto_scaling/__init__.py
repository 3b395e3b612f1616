"""EC2 Auto Scaling: groups, lifecycle hooks, warm pools, new root volumes, refreshes."""
