output "log_groups" {
  description = "Names of the log groups: worker, luigid, datadog."
  value       = { for name, group in aws_cloudwatch_log_group.this : name => group.name }
}

output "log_group_arns" {
  description = "ARNs of the log groups."
  value       = [for group in aws_cloudwatch_log_group.this : group.arn]
}

output "log_options" {
  description = "Options of the awslogs driver, by log group."
  value       = local.options
}

output "sidecars" {
  description = "Container definitions that stand beside the main one."
  value       = var.datadog == null ? [] : [local.agent]
}
