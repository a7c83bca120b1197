variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "account" {
  description = "Id of the AWS account."
  type        = string
}

variable "lake" {
  description = "The lake's bucket, and the prefix of its keys."
  type        = object({ bucket_arn = string, prefix = string })
}

variable "raw" {
  description = "Where raw logs arrive, as s3://bucket/prefix."
  type        = string
}

variable "key_arn" {
  description = "KMS key."
  type        = string
}

variable "topic_arn" {
  description = "SNS topic for notices of failed tasks."
  type        = string
}

variable "repository_arns" {
  description = "Image repositories."
  type        = list(string)
}

variable "log_group_arns" {
  description = "Log groups."
  type        = list(string)
}

variable "secret_arns" {
  description = "Secrets that containers name."
  type        = list(string)
}

variable "google" {
  description = "Workload identity pool and provider, in which project (by number), and the service account."
  type        = object({ project_number = string, pool = string, provider = string, service_account = string })
}
