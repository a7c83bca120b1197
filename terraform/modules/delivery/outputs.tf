output "roles" {
  description = "Role ARNs of CI: main, branch."
  value       = { for kind, role in aws_iam_role.this : kind => role.arn }
}
