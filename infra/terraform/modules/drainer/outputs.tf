# Written by `make terraform` from infra/drainer.yaml: change that file, and not this one.

output "topic_arn" {
  description = "Topic that hooks notify. Also the ServiceToken of a Custom::ECSDrain."
  value       = aws_sns_topic.topic.arn
}

output "function_arn" {
  description = "The function. Also a ServiceToken of a Custom::ECSDrain."
  value       = aws_lambda_function.function.arn
}

output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.function.function_name
}

output "role_arn" {
  description = "Role of the function."
  value       = aws_iam_role.role.arn
}

output "role_name" {
  description = "Name of the function's role."
  value       = aws_iam_role.role.name
}

output "log_group_name" {
  description = "Log group with one line for each drain and pass."
  value       = aws_cloudwatch_log_group.log_group.name
}

output "notice_queue_url" {
  description = "Queue of lifecycle notifications and requests of CloudFormation."
  value       = aws_sqs_queue.notice_queue.url
}

output "wait_queue_url" {
  description = "Queue in which envelopes wait for the pass interval."
  value       = aws_sqs_queue.wait_queue.url
}

output "dead_letter_queue_url" {
  description = "Messages and events that failed permanently or were not delivered."
  value       = aws_sqs_queue.dead_letter_queue.url
}

output "dead_letter_queue_arn" {
  description = "The queue of dead_letter_queue_url."
  value       = aws_sqs_queue.dead_letter_queue.arn
}
