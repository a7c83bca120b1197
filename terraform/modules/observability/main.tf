# Where containers write their lines, and the Datadog agent that may stand beside each of them.

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:How long lines are kept is var.retention_days; what was made is told by receipts, for ever.
  for_each          = toset(["worker", "luigid", "datadog"])
  name              = "/${var.name}/${each.key}"
  retention_in_days = var.retention_days
  kms_key_id        = var.key_arn
}

locals {
  options = {
    for name, group in aws_cloudwatch_log_group.this : name => {
      awslogs-group         = group.name
      awslogs-region        = var.region
      awslogs-stream-prefix = name
    }
  }

  # Its root is not read-only: the agent writes its settings, sockets and runtime below /etc, /var and /opt.
  agent = {
    name        = "datadog-agent"
    image       = try(var.datadog.image, "")
    essential   = false
    cpu         = 64
    memory      = 256
    environment = [for name, value in { DD_SITE = try(var.datadog.site, ""), ECS_FARGATE = "true", DD_DOGSTATSD_NON_LOCAL_TRAFFIC = "false", DD_LOGS_ENABLED = "false" } : { name = name, value = value }]
    secrets     = [{ name = "DD_API_KEY", valueFrom = try(var.datadog.api_key_arn, "") }]
    linuxParameters = {
      initProcessEnabled = true
      capabilities       = { drop = ["ALL"] }
    }
    logConfiguration = { logDriver = "awslogs", options = local.options["datadog"] }
  }
}
