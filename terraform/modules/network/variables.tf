variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC that is made."
  type        = string
}

variable "existing" {
  description = "A VPC that is there, and its private subnets, which reach the internet; null makes one."
  type        = object({ vpc_id = string, private_subnets = list(string) })
}
