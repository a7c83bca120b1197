variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "account" {
  description = "Id of the AWS account."
  type        = string
}

variable "email" {
  description = "Who is told."
  type        = string
}

variable "key_arn" {
  description = "KMS key."
  type        = string
}
