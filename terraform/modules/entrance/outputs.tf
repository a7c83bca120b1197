output "target_group_arn" {
  description = "Where luigid's container enters itself, once there is a listener."
  value       = aws_lb_target_group.this.arn
  depends_on  = [aws_cloudformation_stack.listener]
}

output "address" {
  description = "DNS name of the load balancer."
  value       = aws_lb.this.dns_name
}
