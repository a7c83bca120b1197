# luigid: one container at a time, found by workers as luigid.<name>.internal:8082. Never in the open: it does what a GET says.

resource "aws_ecs_task_definition" "luigid" {
  family                   = "${var.name}-luigid"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  execution_role_arn       = var.start_role_arn
  task_role_arn            = aws_iam_role.luigid.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = "state"
    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.state.id
      transit_encryption = "ENABLED"
      authorization_config {
        access_point_id = aws_efs_access_point.state.id
        iam             = "ENABLED"
      }
    }
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode(concat([{
    name                   = "luigid"
    image                  = var.image
    essential              = true
    user                   = "10001:10001"
    privileged             = false
    readonlyRootFilesystem = true
    cpu                    = 0
    memory                 = length(var.sidecars) > 0 ? 768 : 1024
    stopTimeout            = 60
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    portMappings           = [{ name = "http", containerPort = 8082, hostPort = 8082, protocol = "tcp" }]
    mountPoints = [
      { sourceVolume = "state", containerPath = "/state", readOnly = false },
      { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
    ]
    healthCheck = {
      command     = ["CMD", "python", "-m", "scheduler", "health"]
      interval    = 15
      timeout     = 5
      retries     = 3
      startPeriod = 60
    }
    environment      = length(var.sidecars) > 0 ? [{ name = "DD_AGENT_HOST", value = "127.0.0.1" }] : []
    logConfiguration = { logDriver = "awslogs", options = var.log_options }
  }], var.sidecars))
}

resource "aws_service_discovery_service" "luigid" {
  name = "luigid"

  dns_config {
    namespace_id   = var.cluster.namespace.id
    routing_policy = "MULTIVALUE"
    dns_records {
      type = "A"
      ttl  = 10
    }
  }
}

# The old one ends, and saves its state, before the new one starts: both would write the same file.
resource "aws_ecs_service" "luigid" {
  name                               = "${var.name}-luigid"
  cluster                            = var.cluster.arn
  task_definition                    = aws_ecs_task_definition.luigid.arn
  launch_type                        = "FARGATE"
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  platform_version                   = "LATEST"
  propagate_tags                     = "SERVICE"
  depends_on                         = [aws_efs_mount_target.state, aws_iam_role_policy.luigid]

  network_configuration {
    subnets          = var.private_subnets
    security_groups  = [var.security_groups.luigid]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.luigid.arn
  }

  dynamic "load_balancer" {
    for_each = var.target_group_arn[*]
    content {
      target_group_arn = load_balancer.value
      container_name   = "luigid"
      container_port   = 8082
    }
  }
}
