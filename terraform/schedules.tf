variable "schedules" {
  description = "What runs when (UTC; the six fields of EventBridge), as which of the sizes small, medium, large and of the roles ingest, train, export, branch."
  type = map(object({
    cron               = string
    command            = list(string)
    size               = optional(string, "small")
    role               = optional(string, "ingest")
    interruptible      = optional(bool, true)
    start_within_hours = optional(number, 6)
    enabled            = optional(bool, true)
  }))

  # The day's run takes in what the hourly ones did not; those only spread its work over the day.
  default = {
    daily = {
      cron          = "30 3 * * ? *"
      command       = ["DailyPipeline", "--date", "yesterday"]
      size          = "medium"
      role          = "export"
      interruptible = false
    }
    hourly-impression = {
      cron    = "20 * * * ? *"
      command = ["BigQueryLoad", "--event", "impression", "--hour", "last"]
    }
    hourly-click = {
      cron    = "25 * * * ? *"
      command = ["BigQueryLoad", "--event", "click", "--hour", "last"]
    }
  }

  validation {
    condition     = alltrue([for name in keys(var.schedules) : can(regex("^[a-z][a-z0-9-]{0,39}$", name))])
    error_message = "A schedule's name has small letters, digits and hyphens, and begins with a letter: ${join(", ", [for name in keys(var.schedules) : name if !can(regex("^[a-z][a-z0-9-]{0,39}$", name))])}."
  }
  validation {
    condition     = alltrue([for one in var.schedules : can(regex(local.cron, one.cron))])
    error_message = "Wrong cron: ${join("; ", [for name, one in var.schedules : "${name} has \"${one.cron}\"" if !can(regex(local.cron, one.cron))])}. Write minute hour day-of-month month day-of-week year, with ? for just one of the two days, as 30 3 * * ? *."
  }
  validation {
    condition     = alltrue([for one in var.schedules : contains(["small", "medium", "large"], one.size)])
    error_message = "Unknown size: ${join("; ", [for name, one in var.schedules : "${name} has \"${one.size}\"" if !contains(["small", "medium", "large"], one.size)])}. Sizes are small, medium and large."
  }
  validation {
    condition     = alltrue([for one in var.schedules : contains(["ingest", "train", "export", "branch"], one.role)])
    error_message = "Unknown role: ${join("; ", [for name, one in var.schedules : "${name} has \"${one.role}\"" if !contains(["ingest", "train", "export", "branch"], one.role)])}. Roles are ingest, train, export and branch."
  }
  validation {
    condition     = alltrue([for one in var.schedules : length(one.command) > 0 && can(regex("^[A-Z][A-Za-z0-9]*$", one.command[0]))])
    error_message = "A schedule's command begins with a task, as [\"DailyPipeline\", \"--date\", \"yesterday\"]; luigi itself is in the image."
  }
  validation {
    condition     = alltrue([for one in var.schedules : one.start_within_hours >= 1 && one.start_within_hours <= 24 && floor(one.start_within_hours) == one.start_within_hours])
    error_message = "start_within_hours is a whole number from 1 to 24."
  }
}

# EventBridge's cron as one pattern. tests/infra/cron.py puts together the same, and also tells what never comes.
locals {
  cron_fields = {
    minute = { values = "[0-5]?[0-9]", step = "[0-9]{1,2}" }
    hour   = { values = "(?:[01]?[0-9]|2[0-3])", step = "[0-9]{1,2}" }
    day    = { values = "(?:0?[1-9]|[12][0-9]|3[01])", step = "[0-9]{1,2}" }
    month  = { values = "(?:0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)", step = "[0-9]{1,2}" }
    week   = { values = "(?:[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)", step = "[0-9]" }
    year   = { values = "(?:19[7-9][0-9]|2[01][0-9][0-9])", step = "[0-9]{1,3}" }
  }
  cron_item = { for name, field in local.cron_fields : name => "(?:\\*|${field.values}(?:-${field.values})?)(?:/${field.step})?" }
  cron_list = { for name, item in local.cron_item : name => "${item}(?:,${item})*" }
  cron_day  = "(?:${local.cron_list.day}|L|LW|${local.cron_fields.day.values}W)"
  cron_week = "(?:${local.cron_list.week}|${local.cron_fields.week.values}(?:L|#[1-5]))"
  cron      = "^${local.cron_list.minute} ${local.cron_list.hour} (?:${local.cron_day} ${local.cron_list.month} \\?|\\? ${local.cron_list.month} ${local.cron_week}) ${local.cron_list.year}$"
}
