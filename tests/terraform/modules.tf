# Module spot and module attach beside module drainer, with nothing else.

variable "use_fast_path" {
  type    = bool
  default = true
}

variable "serve_fargate_spot" {
  type    = bool
  default = true
}

variable "pass_interval_seconds" {
  type    = number
  default = 15
}

variable "topic_kms_key_arn" {
  type    = string
  default = ""
}

variable "metadata" {
  type    = map(string)
  default = {}
}

module "drainer" {
  source = "../../modules/drainer"

  zip_file              = "drainer.zip"
  name                  = "terra"
  use_fast_path         = var.use_fast_path
  pass_interval_seconds = var.pass_interval_seconds
  topic_kms_key_arn     = var.topic_kms_key_arn
}

module "attach" {
  source = "../../modules/attach"

  name                    = "terra-attach"
  topic_arn               = module.drainer.topic_arn
  topic_kms_key_arn       = var.topic_kms_key_arn
  auto_scaling_group_name = "web"
  cluster                 = lookup(var.metadata, "cluster", null)
  drain_timeout_seconds   = lookup(var.metadata, "drain_timeout_seconds", null)
}

module "spot" {
  source = "../../modules/spot"

  name               = "terra-spot"
  function_arn       = module.drainer.function_arn
  role_name          = module.drainer.role_name
  serve_fargate_spot = var.serve_fargate_spot
}

output "role_name" {
  value = module.drainer.role_name
}

output "topic_arn" {
  value = module.drainer.topic_arn
}

# For assertions: a test sees the outputs of modules, and no resource inside.
output "hook_name" {
  value = module.attach.hook_name
}
