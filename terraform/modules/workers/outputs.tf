output "task_definitions" {
  description = "ARNs by \"<size>-<role>\"."
  value       = { for key, definition in aws_ecs_task_definition.this : key => definition.arn }
}
