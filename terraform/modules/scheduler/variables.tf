variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "account" {
  description = "Id of the AWS account."
  type        = string
}

variable "image" {
  description = "luigid's image, by tag or digest."
  type        = string
}

variable "cluster" {
  description = "ARN of the cluster, and the namespace in which luigid gets its name."
  type        = object({ arn = string, namespace = object({ id = string, name = string }) })
}

variable "private_subnets" {
  description = "Where it runs."
  type        = list(string)
}

variable "security_groups" {
  description = "Ids by role: luigid, state."
  type        = map(string)
}

variable "key_arn" {
  description = "KMS key."
  type        = string
}

variable "start_role_arn" {
  description = "The role by which ECS starts containers."
  type        = string
}

variable "log_options" {
  description = "Options of the awslogs driver."
  type        = map(string)
}

variable "sidecars" {
  description = "Container definitions that stand beside it."
  type        = any
}

variable "target_group_arn" {
  description = "Of the load balancer through which people come; null: there is none."
  type        = string
}
