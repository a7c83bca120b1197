output "host" {
  description = "The name by which workers find it."
  value       = "${aws_service_discovery_service.luigid.name}.${var.cluster.namespace.name}"
}

output "service" {
  description = "Name of the service."
  value       = aws_ecs_service.luigid.name
}
