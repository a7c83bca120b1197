output "vpc_id" {
  description = "The VPC."
  value       = local.vpc_id
}

output "private_subnets" {
  description = "Ids of the subnets in which everything runs."
  value       = local.private_subnets
}

output "security_groups" {
  description = "Ids by role: worker, luigid, state, entrance."
  value       = { for role, group in aws_security_group.this : role => group.id }
}
