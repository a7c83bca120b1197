variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "vpc_id" {
  description = "The VPC in which names are known."
  type        = string
}
