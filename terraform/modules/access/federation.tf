# How a role of AWS becomes a service account of Google: by workload identity federation. This text holds no key; it says
# where to ask. The pipeline signs a request with its role's passing keys, and Google lets in the roles that it knows.

locals {
  google_credentials = jsonencode({
    type                              = "external_account"
    audience                          = "//iam.googleapis.com/projects/${var.google.project_number}/locations/global/workloadIdentityPools/${var.google.pool}/providers/${var.google.provider}"
    subject_token_type                = "urn:ietf:params:aws:token-type:aws4_request"
    token_url                         = "https://sts.googleapis.com/v1/token"
    service_account_impersonation_url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${var.google.service_account}:generateAccessToken"
    credential_source = {
      environment_id                 = "aws1"
      regional_cred_verification_url = "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"
    }
  })
}
