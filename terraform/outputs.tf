output "repositories" {
  description = "Where images are pushed: pipeline, luigid."
  value       = module.registry.urls
}

output "lake" {
  description = "Where the lake is."
  value       = module.lake.place
}

output "work_roles" {
  description = "Role ARNs by kind of work; Google's provider lets just these in."
  value       = module.access.work_roles
}

output "google_credentials" {
  description = "Credential configuration of the pipeline; holds no key."
  value       = module.access.google_credentials
}

output "ci_roles" {
  description = "Role ARNs that CI is told: main, branch; null without ci."
  value       = one(module.delivery[*].roles)
}

output "luigid_page" {
  description = "DNS name of the load balancer before luigid's page; null without sign_in."
  value       = one(module.entrance[*].address)
}

output "next" {
  description = "What to do now."
  value       = <<-TEXT
    1. Push the images of ${var.revision} (luigid starts by itself as soon as its image is there):
         make push REGISTRY=${split("/", module.registry.urls["pipeline"])[0]}
    2. Say yes to the mail that AWS has sent to ${var.alarm_email}.
    3. Let Google in, unless google.tf did it: docs/deploy.md, "Google".
    4. Run a day:
         make run-task TASK="DailyPipeline --date ${var.logs.first_date}"
       It ends with the run's exit code and prints its lines. The alarm dsp-nothing-exported rests after the first export.
    ${var.sign_in == null ? "luigid's page is closed to people; sign_in opens it." : "5. Point the name in your certificate at ${one(module.entrance[*].address)}: luigid's page."}
  TEXT
}
