variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "key_arn" {
  description = "KMS key."
  type        = string
}

variable "retention_days" {
  description = "How long log lines are kept."
  type        = number
}

variable "datadog" {
  description = "Image and site of the Datadog agent, and the ARN of the secret that holds its API key; null: no agent."
  type        = object({ image = string, site = string, api_key_arn = string })
}
