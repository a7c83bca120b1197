# What a run of the pipeline is: a task definition for each size and kind of work. A schedule, or `make run-task`, names
# one of them and gives it a command.

locals {
  sizes = {
    small  = { cpu = 1024, memory = 4096 }
    medium = { cpu = 2048, memory = 8192 }
    large  = { cpu = 8192, memory = 32768 }
  }
  aside = length(var.sidecars) > 0 ? 256 : 0 # MiB for the container beside it

  definitions = {
    for pair in setproduct(keys(local.sizes), keys(var.roles)) :
    "${pair[0]}-${pair[1]}" => {
      size     = local.sizes[pair[0]]
      role_arn = var.roles[pair[1]]
      # Whose pointers a run moves; a branch's image knows the branch's name.
      environment = merge(var.environment, { DSP_ENVIRONMENT = pair[1] == "branch" ? "branch" : "production" })
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  for_each                 = local.definitions
  family                   = "${var.name}-worker-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.size.cpu
  memory                   = each.value.size.memory
  execution_role_arn       = var.start_role_arn
  task_role_arn            = each.value.role_arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  # Work in progress: typed files of an hour, pages of a training.
  ephemeral_storage {
    size_in_gib = 50
  }

  volume {
    name = "tmp"
  }

  container_definitions = jsonencode(concat([{
    name                   = "pipeline"
    image                  = var.image
    essential              = true
    user                   = "10001:10001"
    privileged             = false
    readonlyRootFilesystem = true
    cpu                    = 0
    memory                 = each.value.size.memory - local.aside
    stopTimeout            = 120
    linuxParameters        = { initProcessEnabled = true, capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
    environment            = [for name, value in each.value.environment : { name = name, value = value }]
    secrets                = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
    logConfiguration       = { logDriver = "awslogs", options = var.log_options }
  }], var.sidecars))
}
