variable "project" {
  description = "Id of the project."
  type        = string
}

variable "aws_account" {
  description = "Id of the AWS account whose roles are let in."
  type        = string
}

variable "aws_roles" {
  description = "Names of the AWS roles that become the service account, by kind of work."
  type        = map(string)
}

variable "pool" {
  description = "Id of the workload identity pool."
  type        = string
}

variable "provider_id" {
  description = "Id of the pool's provider."
  type        = string
}

variable "service_account" {
  description = "Name of the service account, before the @."
  type        = string
}

variable "dataset" {
  description = "Id of the dataset."
  type        = string
}

variable "location" {
  description = "Where the dataset is, as EU."
  type        = string
}

variable "budget" {
  description = "Billing account and the month's amount, in its currency; null: no budget."
  type        = object({ billing_account = string, currency = string, amount = number })
  default     = null
}
