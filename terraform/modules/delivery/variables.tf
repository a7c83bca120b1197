variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "account" {
  description = "Id of the AWS account."
  type        = string
}

variable "repository_arns" {
  description = "Image repositories."
  type        = list(string)
}

variable "ci" {
  description = "Who issues CI's tokens and for whom (host, audience), the subjects of main and of branches, and the bucket of the state."
  type = object({
    issuer         = string
    audience       = string
    main_subject   = string
    branch_subject = string
    state_bucket   = string
  })
}
