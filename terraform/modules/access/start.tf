# What ECS itself needs to start a container: its image, its log, and the secrets that it names.

resource "aws_iam_role" "start" {
  name               = "${var.name}-start"
  description        = "ECS starts containers with it; no container has it"
  assume_role_policy = data.aws_iam_policy_document.container.json
}

data "aws_iam_policy_document" "start" {
  #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken knows no resource; it allows nothing by itself.
  statement {
    sid       = "SignInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = var.repository_arns
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = [for arn in var.log_group_arns : "${arn}:*"]
  }

  dynamic "statement" {
    for_each = length(var.secret_arns) > 0 ? [var.secret_arns] : []
    content {
      sid       = "ReadNamedSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.start.id
  policy = data.aws_iam_policy_document.start.json
}
