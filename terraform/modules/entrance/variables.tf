variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "private_subnets" {
  description = "Where the load balancer stands; at least two."
  type        = list(string)
}

variable "security_group" {
  description = "Its security group."
  type        = string
}

variable "sign_in" {
  description = "Certificate, OpenID Connect provider and client; of the client's secret the name in Secrets Manager."
  type = object({
    certificate_arn        = string
    issuer                 = string
    authorization_endpoint = string
    token_endpoint         = string
    user_info_endpoint     = string
    client_id              = string
    client_secret_name     = string
  })
}
