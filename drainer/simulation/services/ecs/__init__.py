"""ECS: clusters, container instances, services and the lives of tasks."""
