# cron: EventBridge Scheduler starts a container for each of var.schedules, and tells it the time that it was meant for.

resource "aws_scheduler_schedule_group" "this" {
  name = var.name
}

resource "aws_scheduler_schedule" "this" {
  #checkov:skip=CKV_AWS_297:A schedule holds a command and names; AWS encrypts it with a key of its own.
  for_each                     = var.schedules
  name                         = "${var.name}-${each.key}"
  description                  = join(" ", each.value.command)
  group_name                   = aws_scheduler_schedule_group.this.name
  schedule_expression          = "cron(${each.value.cron})"
  schedule_expression_timezone = "UTC"
  state                        = each.value.enabled ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = var.cluster_arn
    role_arn = aws_iam_role.schedules.arn

    # What the run is for does not depend on when it starts, nor on how often starting it is tried.
    input = jsonencode({
      containerOverrides = [{
        name        = "pipeline"
        command     = each.value.command
        environment = [{ name = "DSP_SCHEDULED_AT", value = "<aws.scheduler.scheduled-time>" }]
      }]
    })

    ecs_parameters {
      task_definition_arn = var.task_definitions["${each.value.size}-${each.value.role}"]
      task_count          = 1
      group               = "${var.name}-${each.key}"
      platform_version    = "LATEST"
      propagate_tags      = "TASK_DEFINITION"

      capacity_provider_strategy {
        capacity_provider = each.value.interruptible ? "FARGATE_SPOT" : "FARGATE"
        weight            = 1
      }

      network_configuration {
        subnets          = var.private_subnets
        security_groups  = [var.security_group]
        assign_public_ip = false
      }
    }

    retry_policy {
      maximum_retry_attempts       = 10
      maximum_event_age_in_seconds = each.value.start_within_hours * 3600
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
  }

  depends_on = [aws_iam_role_policy.schedules]
}

# Runs that could not be started at all, with the reason.
resource "aws_sqs_queue" "dead_letters" {
  name                              = "${var.name}-dead-letters"
  message_retention_seconds         = 14 * 24 * 3600
  kms_master_key_id                 = var.key_arn
  kms_data_key_reuse_period_seconds = 3600
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account]
    }
  }
}

resource "aws_iam_role" "schedules" {
  name               = "${var.name}-schedules"
  description        = "EventBridge Scheduler: starts the pipeline's containers"
  assume_role_policy = data.aws_iam_policy_document.scheduler.json
}

data "aws_iam_policy_document" "schedules" {
  statement {
    sid       = "Start"
    actions   = ["ecs:RunTask"]
    resources = [for arn in values(var.task_definitions) : replace(arn, "/:[0-9]+$/", ":*")]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.cluster_arn]
    }
  }

  # Passing on the tags of the task definition is tagging.
  statement {
    sid       = "Tag"
    actions   = ["ecs:TagResource"]
    resources = ["${replace(var.cluster_arn, ":cluster/", ":task/")}/*"]
    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "GiveRoles"
    actions   = ["iam:PassRole"]
    resources = concat(values(var.roles), [var.start_role_arn])
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }

  statement {
    sid       = "KeepDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid       = "EncryptDeadLetters"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }
}

resource "aws_iam_role_policy" "schedules" {
  name   = "start"
  role   = aws_iam_role.schedules.id
  policy = data.aws_iam_policy_document.schedules.json
}
