# terraform test: what is planned, without any cloud. Wrong values are refused before anything is made.

mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_vpc" {
    defaults = { cidr_block = "172.16.0.0/16" }
  }
}

variables {
  region         = "eu-central-1"
  alarm_email    = "ads-oncall@acme.example"
  lake_bucket    = "acme-dsp-lake"
  logs           = { raw = "s3://acme-ad-logs/dsp", source = "openrtb", first_date = "2026-11-01" }
  google_project = { id = "acme-ads", number = "123456789012" }
  revision       = "0123456789abcdef"
}

run "five_values_are_enough" {
  command = plan

  assert {
    condition     = output.luigid_page == null
    error_message = "Without sign_in nobody sees luigid's page."
  }
  assert {
    condition     = output.lake == "s3://acme-dsp-lake/lake"
    error_message = "The lake is elsewhere."
  }
}

run "a_release_runs_by_tag" {
  override_resource {
    target          = module.registry.aws_ecr_repository.this
    override_during = plan
    values          = { repository_url = "registry.example/dsp/image" }
  }
  command = plan

  assert {
    condition     = local.images["pipeline"] == "registry.example/dsp/image:0123456789abcdef"
    error_message = "The image is ${local.images["pipeline"]}."
  }
}

run "a_release_with_digests_runs_just_these_bytes" {
  override_resource {
    target          = module.registry.aws_ecr_repository.this
    override_during = plan
    values          = { repository_url = "registry.example/dsp/image" }
  }
  command = plan

  variables {
    digests = {
      pipeline = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
      luigid   = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
    }
  }

  assert {
    condition     = local.images["luigid"] == "registry.example/dsp/image@${var.digests.luigid}"
    error_message = "The image is ${local.images["luigid"]}."
  }
}

run "a_vpc_that_is_there_is_used" {
  command = plan

  variables {
    network = { vpc_id = "vpc-0123456789abcdef0", private_subnets = ["subnet-a", "subnet-b"] }
  }

  assert {
    condition     = module.network.vpc_id == "vpc-0123456789abcdef0" && tolist(module.network.private_subnets) == tolist(["subnet-a", "subnet-b"])
    error_message = "Another network is used."
  }
}

run "a_vpc_with_one_subnet_is_refused" {
  command         = plan
  expect_failures = [var.network]

  variables {
    network = { vpc_id = "vpc-0123456789abcdef0", private_subnets = ["subnet-a"] }
  }
}

run "tls_is_asked_for_unless_a_stand_in_has_none" {
  command = plan

  assert {
    condition     = var.tls_only
    error_message = "The lake takes requests without TLS."
  }
}

run "a_wrong_digest_is_refused" {
  command         = plan
  expect_failures = [var.digests]

  variables {
    digests = { pipeline = "sha256:1234", luigid = "latest" }
  }
}

run "an_endpoint_without_tls_is_refused" {
  command         = plan
  expect_failures = [var.sign_in]

  variables {
    sign_in = {
      certificate_arn        = "arn:aws:acm:eu-central-1:123456789012:certificate/1"
      issuer                 = "http://login.acme.example"
      authorization_endpoint = "https://login.acme.example/authorize"
      token_endpoint         = "https://login.acme.example/token"
      user_info_endpoint     = "https://login.acme.example/userinfo"
      client_id              = "dsp"
      client_secret_name     = "dsp/oidc"
    }
  }
}

run "a_value_among_names_of_secrets_is_refused" {
  command         = plan
  expect_failures = [var.secrets]

  variables {
    secrets = { DSP_NOTIFY_SLACK_WEBHOOK_URL = "https://hooks.slack.example/T0/B0/xyz" }
  }
}
