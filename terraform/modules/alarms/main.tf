# What people are told without asking: a failed run, a day without a model, a run that did not start, luigid gone.

locals {
  exported = { namespace = var.name, name = "ExportedBundles" }

  alarms = {
    nothing-exported = {
      description = "No bundle was exported for a day. Look at the daily schedule's last run: aws logs tail ${var.log_group} --since 1d"
      namespace   = local.exported.namespace
      metric      = local.exported.name
      dimensions  = {}
      statistic   = "Sum"
      period      = 86400
      periods     = 1
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    }
    dead-letters = {
      description = "A scheduled run could not be started. The queue ${var.dead_letters} says which and why."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = var.dead_letters }
      statistic   = "Maximum"
      period      = 300
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    # A running container sends its CPU once a minute; without one there are no samples.
    luigid-down = {
      description = "luigid has not run for five minutes, so workers wait and then end. Look at the events of the ECS service ${var.luigid_service}."
      namespace   = "AWS/ECS"
      metric      = "CPUUtilization"
      dimensions  = { ClusterName = var.cluster.name, ServiceName = var.luigid_service }
      statistic   = "SampleCount"
      period      = 60
      periods     = 5
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    }
  }
}

# The line that a task writes when its receipt is there, as in "ExportModel(experiment=…): 12 rows in 3.10 s".
resource "aws_cloudwatch_log_metric_filter" "exported" {
  name           = "${var.name}-exported"
  log_group_name = var.log_group
  pattern        = "INFO \"ExportModel(\" \"rows\""

  metric_transformation {
    namespace = local.exported.namespace
    name      = local.exported.name
    value     = "1"
    unit      = "Count"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = [var.topic_arn]
  ok_actions          = [var.topic_arn]
}

# One message a failed run, also of one that a person started. Services are luigid's own affair (above).
resource "aws_cloudwatch_event_rule" "failed" {
  name        = "${var.name}-failed"
  description = "A run ended with an exit code other than 0, or its container did not start"

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [var.cluster.arn]
      lastStatus = ["STOPPED"]
      group      = [{ anything-but = { prefix = "service:" } }]
      "$or" = [
        { containers = { name = ["pipeline"], exitCode = [{ anything-but = 0 }] } },
        { stopCode = ["TaskFailedToStart"] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "failed" {
  rule = aws_cloudwatch_event_rule.failed.name
  arn  = var.topic_arn

  input_transformer {
    input_paths = {
      run    = "$.detail.group"
      reason = "$.detail.stoppedReason"
      task   = "$.detail.taskArn"
      at     = "$.time"
    }
    input_template = "\"The run <run> failed at <at>: <reason>. Its lines: aws logs tail ${var.log_group} --since 6h. Its container: <task>\""
  }
}
