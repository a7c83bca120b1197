# Google's half: the dataset, who may use it, and AWS roles that are let in without a key.

resource "google_project_service" "this" {
  for_each = toset([
    "bigquery.googleapis.com",
    "bigquerystorage.googleapis.com",
    "billingbudgets.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "sts.googleapis.com",
  ])
  project            = var.project
  service            = each.key
  disable_on_destroy = false
}

# Without expiration: receipts do not expire, so neither may what they stand for.
resource "google_bigquery_dataset" "this" {
  #checkov:skip=CKV_GCP_81:Google encrypts it; a key of one's own costs a key ring and adds a way to lose everything.
  project                    = var.project
  dataset_id                 = var.dataset
  location                   = var.location
  description                = "Tables of dsp-pipeline, and their receipts"
  delete_contents_on_destroy = false
  depends_on                 = [google_project_service.this]
}

resource "google_service_account" "pipeline" {
  project      = var.project
  account_id   = var.service_account
  display_name = "dsp-pipeline on AWS"
}

resource "google_bigquery_dataset_iam_member" "edits" {
  project    = var.project
  dataset_id = google_bigquery_dataset.this.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = "serviceAccount:${google_service_account.pipeline.email}"
}

resource "google_project_iam_member" "asks" {
  for_each = toset(["roles/bigquery.jobUser", "roles/bigquery.readSessionUser"])
  project  = var.project
  role     = each.key
  member   = "serviceAccount:${google_service_account.pipeline.email}"
}

resource "google_iam_workload_identity_pool" "aws" {
  project                   = var.project
  workload_identity_pool_id = var.pool
  display_name              = "AWS"
  depends_on                = [google_project_service.this]
}

resource "google_iam_workload_identity_pool_provider" "aws" {
  #checkov:skip=CKV_GCP_125:That is for GitHub. This one lets in roles of one AWS account, by the condition below.
  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.aws.workload_identity_pool_id
  workload_identity_pool_provider_id = var.provider_id

  # The role without the name of the session, which is different in each container.
  attribute_mapping = {
    "google.subject"     = "assertion.arn"
    "attribute.aws_role" = "assertion.arn.extract('assumed-role/{role}/')"
  }
  attribute_condition = "attribute.aws_role in ${jsonencode(values(var.aws_roles))}"

  aws {
    account_id = var.aws_account
  }
}

resource "google_service_account_iam_member" "aws_roles" {
  for_each           = var.aws_roles
  service_account_id = google_service_account.pipeline.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.aws.name}/attribute.aws_role/${each.value}"
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_billing_budget" "month" {
  count           = var.budget == null ? 0 : 1
  billing_account = var.budget.billing_account
  display_name    = "dsp-pipeline: BigQuery"

  budget_filter {
    projects = ["projects/${data.google_project.this.number}"]
    services = ["services/24E6-581D-38E5"] # BigQuery
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  depends_on = [google_project_service.this]
}
