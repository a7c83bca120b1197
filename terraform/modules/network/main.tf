# Where everything runs: two private subnets that reach out through one NAT gateway, and S3 without it.
# With var.existing nothing is made here but the security groups (security.tf).

locals {
  own   = var.existing == null
  zones = local.own ? slice(data.aws_availability_zones.here[0].names, 0, 2) : []

  vpc_id          = local.own ? aws_vpc.own[0].id : var.existing.vpc_id
  cidr            = local.own ? aws_vpc.own[0].cidr_block : data.aws_vpc.existing[0].cidr_block
  private_subnets = local.own ? [for zone in local.zones : aws_subnet.private[zone].id] : var.existing.private_subnets
}

data "aws_vpc" "existing" {
  count = local.own ? 0 : 1
  id    = var.existing.vpc_id
}

data "aws_availability_zones" "here" {
  #checkov:skip=CKV_AWS_394:Zones are told in the order of their names, and a new one gets a later letter: the first two stay.
  count = local.own ? 1 : 0
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

resource "aws_vpc" "own" {
  #checkov:skip=CKV2_AWS_11:Flow logs are billed by the gigabyte that the lake moves. Nothing here can be reached from outside, and S3, KMS and IAM log who did what.
  count                = local.own ? 1 : 0
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# Without rules: whatever forgets to name a security group reaches nothing.
resource "aws_default_security_group" "closed" {
  count  = local.own ? 1 : 0
  vpc_id = aws_vpc.own[0].id
}

resource "aws_subnet" "private" {
  for_each          = toset(local.zones)
  vpc_id            = aws_vpc.own[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.cidr, 4, index(local.zones, each.key))

  tags = { Name = "${var.name}-private-${each.key}" }
}

# Holds the NAT gateway and nothing else.
resource "aws_subnet" "public" {
  count             = local.own ? 1 : 0
  vpc_id            = aws_vpc.own[0].id
  availability_zone = local.zones[0]
  cidr_block        = cidrsubnet(var.cidr, 4, 15)

  tags = { Name = "${var.name}-public" }
}

resource "aws_internet_gateway" "out" {
  count  = local.own ? 1 : 0
  vpc_id = aws_vpc.own[0].id

  tags = { Name = var.name }
}

resource "aws_eip" "nat" {
  #checkov:skip=CKV2_AWS_19:It belongs to the NAT gateway below.
  count  = local.own ? 1 : 0
  domain = "vpc"

  tags = { Name = "${var.name}-nat" }
}

# One, not one a zone: when its zone fails, runs fail and are run again; nothing is lost, and it halves the bill.
resource "aws_nat_gateway" "out" {
  count         = local.own ? 1 : 0
  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[0].id

  tags       = { Name = var.name }
  depends_on = [aws_internet_gateway.out]
}

resource "aws_route_table" "public" {
  count  = local.own ? 1 : 0
  vpc_id = aws_vpc.own[0].id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "public_out" {
  count                  = local.own ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.out[0].id
}

resource "aws_route_table_association" "public" {
  count          = local.own ? 1 : 0
  subnet_id      = aws_subnet.public[0].id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_route_table" "private" {
  count  = local.own ? 1 : 0
  vpc_id = aws_vpc.own[0].id

  tags = { Name = "${var.name}-private" }
}

resource "aws_route" "private_out" {
  count                  = local.own ? 1 : 0
  route_table_id         = aws_route_table.private[0].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.out[0].id
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

# The lake's traffic costs nothing this way.
resource "aws_vpc_endpoint" "s3" {
  count             = local.own ? 1 : 0
  vpc_id            = aws_vpc.own[0].id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private[0].id]

  tags = { Name = "${var.name}-s3" }
}
