variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "account" {
  description = "Id of the AWS account."
  type        = string
}

variable "schedules" {
  description = "What runs when: the root's variable of this name."
  type = map(object({
    cron               = string
    command            = list(string)
    size               = string
    role               = string
    interruptible      = bool
    start_within_hours = number
    enabled            = bool
  }))
}

variable "cluster_arn" {
  description = "Where containers run."
  type        = string
}

variable "task_definitions" {
  description = "ARNs by \"<size>-<role>\"."
  type        = map(string)
}

variable "roles" {
  description = "Role ARNs by kind of work."
  type        = map(string)
}

variable "start_role_arn" {
  description = "The role by which ECS starts containers."
  type        = string
}

variable "private_subnets" {
  description = "Where containers run."
  type        = list(string)
}

variable "security_group" {
  description = "Of the containers."
  type        = string
}

variable "key_arn" {
  description = "KMS key."
  type        = string
}
