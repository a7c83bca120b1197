variable "name" {
  description = "Prefix of names."
  type        = string
}

variable "topic_arn" {
  description = "Where alarms go."
  type        = string
}

variable "cluster" {
  description = "Name and ARN of the cluster."
  type        = object({ name = string, arn = string })
}

variable "luigid_service" {
  description = "Name of luigid's service."
  type        = string
}

variable "dead_letters" {
  description = "Name of the queue of runs that could not be started."
  type        = string
}

variable "log_group" {
  description = "Log group of the workers."
  type        = string
}
