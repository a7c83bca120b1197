variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "image" {
  description = "The pipeline's image, by tag or digest."
  type        = string
}

variable "roles" {
  description = "Role ARNs by kind of work."
  type        = map(string)
}

variable "start_role_arn" {
  description = "The role by which ECS starts containers."
  type        = string
}

variable "environment" {
  description = "Environment variables of the pipeline: docs/cloud.md."
  type        = map(string)
}

variable "secrets" {
  description = "Environment variable → ARN of the secret that fills it."
  type        = map(string)
}

variable "log_options" {
  description = "Options of the awslogs driver."
  type        = map(string)
}

variable "sidecars" {
  description = "Container definitions that stand beside it."
  type        = any
}
