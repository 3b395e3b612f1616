# Written by `make terraform` from infra/attach.yaml: change that file, and not this one.

output "hook_name" {
  description = "Name of the lifecycle hook."
  value       = aws_autoscaling_lifecycle_hook.terminating_hook.name
}

output "notification_role_arn" {
  description = "Role that Auto Scaling notifies with. The topic's KMS key policy must allow it."
  value       = aws_iam_role.notification_role.arn
}
