# What every run is told, and what `make run-task` must know to start one.

locals {
  environment = merge(
    {
      AWS_REGION                  = var.region # Google's client reads this one,
      AWS_DEFAULT_REGION          = var.region # and boto3 that one
      DSP_LAKE                    = module.lake.place
      DSP_RAW                     = var.logs.raw
      DSP_SOURCE                  = var.logs.source
      DSP_FIRST_DATE              = var.logs.first_date
      DSP_BIGQUERY_PROJECT        = var.google_project.id
      DSP_BIGQUERY_DATASET        = var.bigquery.dataset
      DSP_BIGQUERY_LOCATION       = var.bigquery.location
      DSP_BIGQUERY_LABELS         = var.bigquery.labels
      DSP_BIGQUERY_MAX_GIB_BILLED = tostring(var.bigquery.max_gib_billed)
      DSP_BIGQUERY_STAGING        = var.bigquery.staging
      DSP_GOOGLE_CREDENTIALS      = module.access.google_credentials
      DSP_NOTIFY_SNS_TOPIC_ARN    = module.notices.topic_arn
      DSP_SCHEDULER_HOST          = module.scheduler.host
    },
    var.datadog == null ? {} : { DD_AGENT_HOST = "127.0.0.1", DD_DOGSTATSD_PORT = "8125" },
  )
}

resource "aws_ssm_parameter" "run_task" {
  #checkov:skip=CKV2_AWS_34:Names of a cluster, subnets and a log group; there is nothing to hide.
  name        = "/${local.name}/run-task"
  description = "What make run-task reads"
  type        = "String"
  value = jsonencode({
    cluster        = module.cluster.name
    family         = "${local.name}-worker"
    subnets        = module.network.private_subnets
    security_group = module.network.security_groups["worker"]
    log_group      = module.observability.log_groups["worker"]
  })
}
