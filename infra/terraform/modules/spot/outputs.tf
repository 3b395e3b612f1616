# Written by `make terraform` from infra/spot.yaml: change that file, and not this one.

output "dead_letter_queue_url" {
  description = "Events of Spot that were not delivered in time, or failed 3 times."
  value       = aws_sqs_queue.dead_letter_queue.url
}
