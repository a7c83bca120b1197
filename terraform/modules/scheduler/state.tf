# luigid's memory across restarts. No backup: what is complete is told by receipts, so a lost state costs nothing.

resource "aws_efs_file_system" "state" {
  creation_token = "${var.name}-luigid"
  encrypted      = true
  kms_key_id     = var.key_arn

  tags = { Name = "${var.name}-luigid" }
}

resource "aws_efs_mount_target" "state" {
  count           = length(var.private_subnets)
  file_system_id  = aws_efs_file_system.state.id
  subnet_id       = var.private_subnets[count.index]
  security_groups = [var.security_groups.state]
}

resource "aws_efs_access_point" "state" {
  file_system_id = aws_efs_file_system.state.id

  posix_user {
    uid = 10001
    gid = 10001
  }

  root_directory {
    path = "/luigid"
    creation_info {
      owner_uid   = 10001
      owner_gid   = 10001
      permissions = "0750"
    }
  }
}

data "aws_iam_policy_document" "state" {
  statement {
    sid       = "MountState"
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = [aws_efs_file_system.state.arn]
    condition {
      test     = "ArnEquals"
      variable = "elasticfilesystem:AccessPointArn"
      values   = [aws_efs_access_point.state.arn]
    }
  }
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

# It may mount its folder, and nothing else of AWS.
resource "aws_iam_role" "luigid" {
  name               = "${var.name}-luigid"
  description        = "luigid: mounts its state"
  assume_role_policy = data.aws_iam_policy_document.container.json
}

resource "aws_iam_role_policy" "luigid" {
  name   = "state"
  role   = aws_iam_role.luigid.id
  policy = data.aws_iam_policy_document.state.json
}
