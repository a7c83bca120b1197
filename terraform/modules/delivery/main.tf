# Who delivers: two roles that CI becomes by showing a token of its own (OpenID Connect), so that it stores no key.
# A branch pushes images and looks at the plan; main applies it and starts the smoke task.

resource "aws_iam_openid_connect_provider" "this" {
  url            = "https://${var.ci.issuer}"
  client_id_list = [var.ci.audience]
}

locals {
  subjects = { main = var.ci.main_subject, branch = var.ci.branch_subject }
}

data "aws_iam_policy_document" "token" {
  for_each = local.subjects

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.this.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${var.ci.issuer}:aud"
      values   = [var.ci.audience]
    }
    condition {
      test     = "StringEquals"
      variable = "${var.ci.issuer}:sub"
      values   = [each.value]
    }
  }
}

# Not named like the roles of the platform, which main may change: its own rights it may not. What main gives those roles is
# what the review of a pull request lets through.
resource "aws_iam_role" "this" {
  for_each             = local.subjects
  name                 = "delivery-${var.name}-${each.key}"
  description          = each.key == "main" ? "CI on main: applies Terraform" : "CI on a branch: pushes images, plans"
  assume_role_policy   = data.aws_iam_policy_document.token[each.key].json
  max_session_duration = 7200
}

data "aws_iam_policy_document" "push" {
  #checkov:skip=CKV_AWS_356:ecr:GetAuthorizationToken knows no resource; it allows nothing by itself.
  statement {
    sid       = "SignInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  # Tags cannot change, so a branch cannot put its image in the place of another.
  statement {
    sid = "Push"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = var.repository_arns
  }

  statement {
    sid       = "LockState"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["arn:aws:s3:::${var.ci.state_bucket}/*.tflock"]
  }
}

resource "aws_iam_role_policy" "push" {
  for_each = aws_iam_role.this
  name     = "push"
  role     = each.value.id
  policy   = data.aws_iam_policy_document.push.json
}

# Reads all that a plan compares; of secrets that they are there, not what they are.
resource "aws_iam_role_policy_attachment" "look" {
  role       = aws_iam_role.this["branch"].name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

# Everything but people and roles, and of roles those of the platform.
resource "aws_iam_role_policy_attachment" "change" {
  role       = aws_iam_role.this["main"].name
  policy_arn = "arn:aws:iam::aws:policy/PowerUserAccess"
}

data "aws_iam_policy_document" "roles" {
  statement {
    sid = "RolesOfThePlatform"
    actions = [
      "iam:CreateRole",
      "iam:DeleteRole",
      "iam:DeleteRolePolicy",
      "iam:PassRole",
      "iam:PutRolePolicy",
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
      "iam:UpdateRole",
    ]
    resources = ["arn:aws:iam::${var.account}:role/${var.name}-*"]
  }

  # Its own rights it may see, as they are in the plan too.
  statement {
    sid = "Look"
    actions = [
      "iam:GetRole",
      "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies",
      "iam:ListInstanceProfilesForRole",
      "iam:ListRolePolicies",
    ]
    resources = [for prefix in ["", "delivery-"] : "arn:aws:iam::${var.account}:role/${prefix}${var.name}-*"]
  }

  statement {
    sid       = "LookAtProvider"
    actions   = ["iam:GetOpenIDConnectProvider"]
    resources = [aws_iam_openid_connect_provider.this.arn]
  }
}

resource "aws_iam_role_policy" "roles" {
  name   = "roles"
  role   = aws_iam_role.this["main"].id
  policy = data.aws_iam_policy_document.roles.json
}
