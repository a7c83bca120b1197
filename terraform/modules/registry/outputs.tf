output "urls" {
  description = "Repository URLs: pipeline, luigid."
  value       = { for image, repository in aws_ecr_repository.this : image => repository.repository_url }
}

output "arns" {
  description = "Repository ARNs."
  value       = [for repository in aws_ecr_repository.this : repository.arn]
}
