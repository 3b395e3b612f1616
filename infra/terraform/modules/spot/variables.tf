# Written by `make terraform` from infra/spot.yaml: change that file, and not this one.

variable "name" {
  description = "Name that the names of the resources begin with."
  type        = string
  default     = "drainer-spot"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))
    error_message = "A letter, and then at most 31 letters, digits and hyphens."
  }
}

variable "function_arn" {
  description = "Output function_arn of module drainer, or output FunctionArn of a drainer's stack."
  type        = string
  nullable    = false
}

variable "role_name" {
  description = "Output role_name of module drainer, or output RoleName of a drainer's stack."
  type        = string
  nullable    = false
}

variable "serve_interruptions" {
  description = "Whether EC2 instances that Spot interrupts are set DRAINING at once."
  type        = bool
  default     = true
  nullable    = false
}

variable "serve_rebalance_recommendations" {
  # A recommendation is no interruption: many such instances run on for hours, and a group
  # without capacity rebalancing does not replace a drained instance.
  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
  description = "Whether EC2 instances with a rebalance recommendation are set DRAINING too."
  type        = bool
  default     = false
  nullable    = false
}

variable "serve_fargate_spot" {
  description = "Whether tasks that Fargate Spot interrupts are deregistered from their target groups at once."
  type        = bool
  default     = true
  nullable    = false
}

variable "cluster_name_pattern" {
  description = "Names of the ECS clusters that the function's role may use, with wildcards * and ?."
  type        = string
  default     = "*"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_*?-]+$", var.cluster_name_pattern))
    error_message = "It must match ^[A-Za-z0-9_*?-]+$"
  }

  validation {
    condition     = length(var.cluster_name_pattern) <= 255
    error_message = "At most 255 characters."
  }
}

variable "target_group_name_pattern" {
  # "This name must be unique per region per account, can have a maximum of 32 characters".
  # https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
  description = "Names of the target groups whose targets the role may deregister, with wildcards * and ?."
  type        = string
  default     = "*"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9*?-]+$", var.target_group_name_pattern))
    error_message = "It must match ^[A-Za-z0-9*?-]+$"
  }

  validation {
    condition     = length(var.target_group_name_pattern) <= 32
    error_message = "At most 32 characters."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms notify. Empty: alarms show in the console only."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.alarm_topic_arn))
    error_message = "The ARN of an SNS topic, or empty."
  }

  validation {
    condition     = length(var.alarm_topic_arn) <= 2048
    error_message = "At most 2048 characters."
  }
}
