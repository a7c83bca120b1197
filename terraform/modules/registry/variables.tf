variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "key_arn" {
  description = "KMS key."
  type        = string
}
