output "cluster_name" {
  description = "ECS cluster."
  value       = aws_ecs_cluster.cluster.name
}

output "auto_scaling_group_name" {
  description = "Auto Scaling group. Lower its desired capacity to see a drain."
  value       = aws_autoscaling_group.instances.name
}

output "load_balancer_dns_name" {
  description = "Name that the host names of the services must point to."
  value       = aws_lb.load_balancer.dns_name
}
