output "work_roles" {
  description = "Role ARNs by kind of work: ingest, train, export, branch."
  value       = { for kind, role in aws_iam_role.work : kind => role.arn }
  depends_on  = [aws_iam_role_policy.work]
}

output "start_role_arn" {
  description = "The role by which ECS starts containers."
  value       = aws_iam_role.start.arn
  depends_on  = [aws_iam_role_policy.start]
}

output "google_credentials" {
  description = "Credential configuration for Google's clients; holds no key."
  value       = local.google_credentials
}
