# The production environment, told from the ground up. Each module is a role; variables.tf says what can be chosen.

locals {
  name   = "dsp"
  prefix = "lake"

  google = {
    project_number  = var.google_project.number
    pool            = var.google_identity.pool
    provider        = var.google_identity.provider
    service_account = "${var.google_identity.service_account}@${var.google_project.id}.iam.gserviceaccount.com"
  }

  images = {
    for image, url in module.registry.urls :
    image => var.digests == null ? "${url}:${var.revision}" : "${url}@${var.digests[image]}"
  }

  # Of secrets only where they are; ECS reads them when it starts a container.
  secret_names = merge(var.secrets, var.datadog == null ? {} : { DATADOG = var.datadog.api_key_secret })
  secret_arns  = { for variable, secret in data.aws_secretsmanager_secret.named : variable => secret.arn }
}

data "aws_caller_identity" "here" {}

data "aws_secretsmanager_secret" "named" {
  for_each = local.secret_names
  name     = each.value
}

module "network" {
  source   = "./modules/network"
  name     = local.name
  region   = var.region
  cidr     = "10.82.0.0/20"
  existing = var.network
}

module "encryption" {
  source  = "./modules/encryption"
  name    = local.name
  region  = var.region
  account = data.aws_caller_identity.here.account_id
}

module "registry" {
  source  = "./modules/registry"
  name    = local.name
  key_arn = module.encryption.key_arn
}

module "lake" {
  source   = "./modules/lake"
  bucket   = var.lake_bucket
  prefix   = local.prefix
  key_arn  = module.encryption.key_arn
  tls_only = var.tls_only
}

module "notices" {
  source  = "./modules/notices"
  name    = local.name
  account = data.aws_caller_identity.here.account_id
  email   = var.alarm_email
  key_arn = module.encryption.key_arn
}

module "observability" {
  source         = "./modules/observability"
  name           = local.name
  region         = var.region
  key_arn        = module.encryption.key_arn
  retention_days = var.log_retention_days
  datadog        = var.datadog == null ? null : { image = var.datadog.image, site = var.datadog.site, api_key_arn = local.secret_arns["DATADOG"] }
}

module "access" {
  source          = "./modules/access"
  name            = local.name
  account         = data.aws_caller_identity.here.account_id
  lake            = { bucket_arn = module.lake.bucket_arn, prefix = local.prefix }
  raw             = var.logs.raw
  key_arn         = module.encryption.key_arn
  topic_arn       = module.notices.topic_arn
  repository_arns = module.registry.arns
  log_group_arns  = module.observability.log_group_arns
  secret_arns     = values(local.secret_arns)
  google          = local.google
}

module "cluster" {
  source = "./modules/cluster"
  name   = local.name
  vpc_id = module.network.vpc_id
}

module "entrance" {
  source          = "./modules/entrance"
  count           = var.sign_in == null ? 0 : 1
  name            = local.name
  vpc_id          = module.network.vpc_id
  private_subnets = module.network.private_subnets
  security_group  = module.network.security_groups["entrance"]
  sign_in         = var.sign_in
}

module "scheduler" {
  source           = "./modules/scheduler"
  name             = local.name
  account          = data.aws_caller_identity.here.account_id
  image            = local.images["luigid"]
  cluster          = { arn = module.cluster.arn, namespace = module.cluster.namespace }
  private_subnets  = module.network.private_subnets
  security_groups  = module.network.security_groups
  key_arn          = module.encryption.key_arn
  start_role_arn   = module.access.start_role_arn
  log_options      = module.observability.log_options["luigid"]
  sidecars         = module.observability.sidecars
  target_group_arn = var.sign_in == null ? null : module.entrance[0].target_group_arn
}

module "workers" {
  source         = "./modules/workers"
  name           = local.name
  image          = local.images["pipeline"]
  roles          = module.access.work_roles
  start_role_arn = module.access.start_role_arn
  environment    = local.environment
  secrets        = { for variable in keys(var.secrets) : variable => local.secret_arns[variable] }
  log_options    = module.observability.log_options["worker"]
  sidecars       = module.observability.sidecars
}

module "schedules" {
  source           = "./modules/schedules"
  name             = local.name
  account          = data.aws_caller_identity.here.account_id
  schedules        = var.schedules
  cluster_arn      = module.cluster.arn
  task_definitions = module.workers.task_definitions
  roles            = module.access.work_roles
  start_role_arn   = module.access.start_role_arn
  private_subnets  = module.network.private_subnets
  security_group   = module.network.security_groups["worker"]
  key_arn          = module.encryption.key_arn
}

module "alarms" {
  source         = "./modules/alarms"
  name           = local.name
  topic_arn      = module.notices.topic_arn
  cluster        = { name = module.cluster.name, arn = module.cluster.arn }
  luigid_service = module.scheduler.service
  dead_letters   = module.schedules.dead_letters.name
  log_group      = module.observability.log_groups["worker"]
}

module "delivery" {
  source          = "./modules/delivery"
  count           = var.ci == null ? 0 : 1
  name            = local.name
  account         = data.aws_caller_identity.here.account_id
  repository_arns = module.registry.arns
  ci              = var.ci
}
