# Five values have no default and stand in terraform.tfvars (terraform.tfvars.example). `revision` comes with each release.

variable "region" {
  description = "AWS region in which everything runs."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is \"${var.region}\"; write it as eu-central-1."
  }
}

variable "alarm_email" {
  description = "Who is told when something fails."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email is \"${var.alarm_email}\"; give an address that people read, as ads-oncall@acme.com."
  }
}

variable "lake_bucket" {
  description = "Name of the bucket that is made for the lake; nobody else in the world may have it."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.lake_bucket)) && !can(regex("^xn--|-s3alias$", var.lake_bucket))
    error_message = "lake_bucket is \"${var.lake_bucket}\"; a bucket's name has 3 to 63 small letters, digits and hyphens, and no s3:// before it."
  }
}

variable "logs" {
  description = "Raw logs: where they arrive (s3://bucket/prefix), their layout (a file of dsp_pipeline/events/sources/), and the first day that there are any of."
  type        = object({ raw = string, source = string, first_date = string })

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_=.-]+)*$", var.logs.raw))
    error_message = "logs.raw is \"${var.logs.raw}\"; write it as s3://bucket/prefix, without a slash at the end."
  }
  validation {
    condition     = fileexists("${path.module}/../dsp_pipeline/events/sources/${var.logs.source}.yaml")
    error_message = "logs.source is \"${var.logs.source}\"; there is no dsp_pipeline/events/sources/${var.logs.source}.yaml."
  }
  validation {
    condition     = can(formatdate("YYYY-MM-DD", "${var.logs.first_date}T00:00:00Z"))
    error_message = "logs.first_date is \"${var.logs.first_date}\"; write a day as 2026-11-01."
  }
}

variable "google_project" {
  description = "The Google Cloud project that holds the dataset and pays for jobs: its id and its number."
  type        = object({ id = string, number = string })

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.google_project.id)) && can(regex("^[0-9]{6,}$", var.google_project.number))
    error_message = "google_project is ${jsonencode(var.google_project)}; take id and number from `gcloud projects describe ID`."
  }
}

variable "revision" {
  description = "The git revision whose images run; they are tagged with it."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{7,40}$", var.revision))
    error_message = "revision is \"${var.revision}\", which names no image; give the git revision that was built and pushed: -var revision=$(git rev-parse HEAD)."
  }
}

variable "digests" {
  description = "What was pushed under the revision, as sha256:…; then just these bytes run. null: by the tag, which cannot change."
  type        = object({ pipeline = string, luigid = string })
  default     = null

  validation {
    condition     = var.digests == null ? true : alltrue([for digest in values(var.digests) : can(regex("^sha256:[0-9a-f]{64}$", digest))])
    error_message = "digests must have one sha256:… of 64 digits for pipeline and one for luigid."
  }
}

variable "bigquery" {
  description = "Dataset and its location; what a query may read at most; labels for the bill (a=b,c=d); gs://bucket/prefix for large loads."
  type = object({
    dataset        = optional(string, "dsp")
    location       = optional(string, "EU")
    max_gib_billed = optional(number, 100)
    labels         = optional(string, "")
    staging        = optional(string, "")
  })
  default = {}

  validation {
    condition     = var.bigquery.max_gib_billed > 0
    error_message = "bigquery.max_gib_billed is ${var.bigquery.max_gib_billed}; it is more than 0."
  }
}

variable "google_identity" {
  description = "Workload identity pool, its provider for this AWS account, and the name of the service account."
  type = object({
    pool            = optional(string, "dsp-aws")
    provider        = optional(string, "aws")
    service_account = optional(string, "dsp-pipeline")
  })
  default = {}
}

variable "network" {
  description = "A VPC that is there, with two private subnets or more that reach the internet; null makes one."
  type        = object({ vpc_id = string, private_subnets = list(string) })
  default     = null

  validation {
    condition     = var.network == null ? true : can(regex("^vpc-[0-9a-f]+$", var.network.vpc_id)) && length(var.network.private_subnets) >= 2
    error_message = "network needs vpc_id (vpc-…) and the ids of at least two private subnets."
  }
}

variable "sign_in" {
  description = "How people get to luigid's page: certificate, OpenID Connect provider and client; of the client's secret the name in Secrets Manager. null: nobody does."
  type = object({
    certificate_arn        = string
    issuer                 = string
    authorization_endpoint = string
    token_endpoint         = string
    user_info_endpoint     = string
    client_id              = string
    client_secret_name     = string
  })
  default = null

  validation {
    condition     = var.sign_in == null ? true : alltrue([for name in ["issuer", "authorization_endpoint", "token_endpoint", "user_info_endpoint"] : startswith(var.sign_in[name], "https://")])
    error_message = "sign_in's issuer and endpoints are addresses that begin with https://; see the provider's /.well-known/openid-configuration."
  }
}

variable "datadog" {
  description = "Datadog's site, and the name in Secrets Manager of its API key: an agent then stands beside each container. null: none does."
  type = object({
    site           = string
    api_key_secret = string
    image          = optional(string, "public.ecr.aws/datadog/agent:7.66.1")
  })
  default = null
}

variable "ci" {
  description = "CI that shows tokens of OpenID Connect: who issues them (host) and for which audience, the subjects of main and of branches, and the bucket of the state. null: a person applies."
  type = object({
    issuer         = optional(string, "token.actions.githubusercontent.com")
    audience       = optional(string, "sts.amazonaws.com")
    main_subject   = string
    branch_subject = string
    state_bucket   = string
  })
  default = null

  validation {
    condition     = var.ci == null ? true : var.ci.main_subject != var.ci.branch_subject && !can(regex("[*]", "${var.ci.main_subject}${var.ci.branch_subject}"))
    error_message = "ci's subjects differ, and are written out without *: who may apply must not be every branch."
  }
}

variable "secrets" {
  description = "Environment variable of the pipeline → name in Secrets Manager of what fills it, as DSP_NOTIFY_SLACK_WEBHOOK_URL = \"dsp/slack\". Names, never values."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for variable, name in var.secrets : can(regex("^[A-Z][A-Z0-9_]*$", variable)) && can(regex("^[A-Za-z0-9/_+=.@-]+$", name))])
    error_message = "secrets maps names of environment variables to names of entries in Secrets Manager."
  }
}

variable "log_retention_days" {
  description = "How long log lines are kept."
  type        = number
  default     = 90
}

variable "tags" {
  description = "More tags for everything, for the bill."
  type        = map(string)
  default     = {}
}

variable "tls_only" {
  description = "Whether the lake refuses requests without TLS. false only for a stand-in of AWS that has none."
  type        = bool
  default     = true
}
