# Who may talk to whom. Nothing is reachable from outside of the VPC.

locals {
  groups = {
    worker   = "tasks of the pipeline"
    luigid   = "the scheduler"
    state    = "the scheduler's file system"
    entrance = "the load balancer through which people see the scheduler"
  }

  # from → to, by group. `entrance` is only reached from inside of the VPC.
  inside = {
    worker_to_luigid   = { from = "worker", to = "luigid", port = 8082 }
    entrance_to_luigid = { from = "entrance", to = "luigid", port = 8082 }
    luigid_to_state    = { from = "luigid", to = "state", port = 2049 }
  }
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:Each is named by a service, a schedule, a mount target or a load balancer in another module.
  for_each    = local.groups
  name        = "${var.name}-${each.key}"
  description = each.value
  vpc_id      = local.vpc_id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_egress_rule" "inside" {
  for_each                     = local.inside
  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  description                  = replace(each.key, "_", " ")
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

resource "aws_vpc_security_group_ingress_rule" "inside" {
  for_each                     = local.inside
  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  description                  = replace(each.key, "_", " ")
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

# S3, BigQuery, ECR, CloudWatch, Secrets Manager, the sign-in of people: all speak HTTPS.
resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = toset(["worker", "luigid", "entrance"])
  security_group_id = aws_security_group.this[each.key].id
  description       = "HTTPS to APIs"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_ingress_rule" "people" {
  security_group_id = aws_security_group.this["entrance"].id
  description       = "people inside of the VPC"
  cidr_ipv4         = local.cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
