output "group" {
  description = "The group of the schedules."
  value       = aws_scheduler_schedule_group.this.name
}

output "dead_letters" {
  description = "Name and ARN of the queue of runs that could not be started."
  value       = { name = aws_sqs_queue.dead_letters.name, arn = aws_sqs_queue.dead_letters.arn }
}
