# Who may do what. One role for each kind of work; only `export` writes what production's bidders read.

locals {
  # Below the lake's prefix. Rows and the receipts of tables are in BigQuery.
  shared    = ["outputs/*", "receipts/*", "refused/*", "running/*", "versions/*"]
  published = ["bundles/*", "decisions/*"]

  roles = {
    ingest = {
      does   = "takes raw hours in: S3LogIngest, BigQueryLoad"
      writes = ["outputs/ingest/*", "receipts/ingest/*", "refused/ingest/*", "running/*", "versions/*"]
      denied = ["receipts/export/*", "serving/*"]
    }
    train = {
      does   = "everything up to TrainModel; publishes nothing"
      writes = local.shared
      denied = ["receipts/export/*", "serving/*"]
    }
    export = {
      does   = "everything, and moves production's pointers"
      writes = concat(local.shared, local.published, ["serving/production/*"])
      denied = []
    }
    branch = {
      does   = "everything in an environment of its own; never production's pointers"
      writes = concat(local.shared, local.published, ["serving/*"])
      denied = ["serving/production/*"]
    }
  }

  objects = "${var.lake.bucket_arn}/${var.lake.prefix}"
  raw     = regex("^s3://(?P<bucket>[^/]+)/?(?P<prefix>.*?)/?$", var.raw)
}

data "aws_iam_policy_document" "container" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account]
    }
  }
}

resource "aws_iam_role" "work" {
  for_each           = local.roles
  name               = "${var.name}-${each.key}"
  description        = each.value.does
  assume_role_policy = data.aws_iam_policy_document.container.json
}

data "aws_iam_policy_document" "work" {
  for_each = local.roles

  statement {
    sid       = "ReadRawLogs"
    actions   = ["s3:GetObject"]
    resources = ["arn:aws:s3:::${local.raw.bucket}/${local.raw.prefix == "" ? "*" : "${local.raw.prefix}/*"}"]
  }

  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = distinct([var.lake.bucket_arn, "arn:aws:s3:::${local.raw.bucket}"])
  }

  statement {
    sid       = "ReadLake"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${local.objects}/*"]
  }

  statement {
    sid       = "WriteLake"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = [for prefix in each.value.writes : "${local.objects}/${prefix}"]
  }

  dynamic "statement" {
    for_each = length(each.value.denied) > 0 ? [each.value.denied] : []
    content {
      sid       = "NeverWrite"
      effect    = "Deny"
      actions   = ["s3:PutObject", "s3:DeleteObject"]
      resources = [for prefix in statement.value : "${local.objects}/${prefix}"]
    }
  }

  statement {
    sid       = "UseKey"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.key_arn]
  }

  statement {
    sid       = "TellPeople"
    actions   = ["sns:Publish"]
    resources = [var.topic_arn]
  }
}

resource "aws_iam_role_policy" "work" {
  for_each = local.roles
  name     = "work"
  role     = aws_iam_role.work[each.key].id
  policy   = data.aws_iam_policy_document.work[each.key].json
}
