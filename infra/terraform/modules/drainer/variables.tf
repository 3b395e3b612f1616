# Written by `make terraform` from infra/drainer.yaml: change that file, and not this one.

variable "name" {
  description = "Name that the names of the resources begin with."
  type        = string
  default     = "drainer"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))
    error_message = "A letter, and then at most 31 letters, digits and hyphens."
  }
}

variable "zip_file" {
  description = "Path of the function's zip, which `make package` writes to build/drainer.zip."
  type        = string
  nullable    = false
}

variable "clusters" {
  description = "ECS clusters to search if a hook's metadata names none, with commas between them. Empty: every cluster of the account and Region is searched."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^[A-Za-z0-9_:/-]+(,[A-Za-z0-9_:/-]+)*$", var.clusters))
    error_message = "Names or ARNs of ECS clusters, with commas between them and no spaces."
  }

  validation {
    condition     = length(var.clusters) <= 2000
    error_message = "At most 2000 characters."
  }
}

variable "drain_timeout_seconds" {
  # As long as the hook allows. A deadline ends tasks that still run, so a user has to choose it.
  # Default and upper bound are the global timeout of a lifecycle action.
  # https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
  description = "Seconds from the lifecycle notification to the deadline if a hook's metadata sets none, 60 to 172800. The hook's own limit less 120 s and four pass intervals applies if that is shorter."
  type        = number
  default     = 172800
  nullable    = false

  validation {
    condition     = var.drain_timeout_seconds >= 60 && var.drain_timeout_seconds <= 172800
    error_message = "60 to 172800."
  }
}

variable "deadline_result" {
  description = "Answer to the hook at the deadline. ABANDON retains the EC2 instance if the group's instance lifecycle policy says so."
  type        = string
  default     = "CONTINUE"
  nullable    = false

  validation {
    condition     = contains(["CONTINUE", "ABANDON"], var.deadline_result)
    error_message = "One of: CONTINUE, ABANDON."
  }
}

variable "standalone_tasks" {
  description = "Rule for tasks that belong to no service: wait for them, stop them after standalone_grace_seconds, or ignore them."
  type        = string
  default     = "wait"
  nullable    = false

  validation {
    condition     = contains(["wait", "stop", "ignore"], var.standalone_tasks)
    error_message = "One of: wait, stop, ignore."
  }
}

variable "standalone_grace_seconds" {
  description = "Seconds from DRAINING until standalone_tasks=stop stops standalone tasks, 0 to 172800."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.standalone_grace_seconds >= 0 && var.standalone_grace_seconds <= 172800
    error_message = "0 to 172800."
  }
}

variable "interrupted_targets" {
  description = "Rule for load balancer targets that Spot interrupts: deregister them at once, or leave them to ECS. Not used unless module spot is used."
  type        = string
  default     = "deregister"
  nullable    = false

  validation {
    condition     = contains(["deregister", "leave"], var.interrupted_targets)
    error_message = "One of: deregister, leave."
  }
}

variable "pass_interval_seconds" {
  # SQS allows a delay of 0 to 900 seconds; a hook's shortest heartbeat timeout is 30 seconds.
  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
  description = "Seconds between two looks at a draining instance, 1 to 300. Keep it under a third of the shortest heartbeat_timeout_seconds of the attached groups."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.pass_interval_seconds >= 1 && var.pass_interval_seconds <= 300
    error_message = "1 to 300."
  }
}

variable "sweep_interval_minutes" {
  # EventBridge rejects "rate(1 minutes)". A sweep must find a lost request of CloudFormation
  # within the seven minutes that are kept for its response (drainer/custom_resource/request.py).
  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
  description = "Minutes between two sweeps, 2 to 5. A sweep finds waiting instances whose messages were lost."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.sweep_interval_minutes >= 2 && var.sweep_interval_minutes <= 5
    error_message = "2 to 5."
  }
}

variable "use_fast_path" {
  description = "Whether the function looks at once after a task on a draining instance has stopped, and every 75 s while none stops. Each task that stops in the account is an event."
  type        = bool
  default     = true
  nullable    = false
}

variable "long_drain_alarm_minutes" {
  # 48 hours, which no drain exceeds.
  description = "Minutes after which a drain that has not ended raises an alarm, and again after each multiple, 1 to 2880."
  type        = number
  default     = 60
  nullable    = false

  validation {
    condition     = var.long_drain_alarm_minutes >= 1 && var.long_drain_alarm_minutes <= 2880
    error_message = "1 to 2880."
  }
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

variable "auto_scaling_group_name_pattern" {
  description = "Names of the Auto Scaling groups whose hooks the role may answer, with wildcards * and ?."
  type        = string
  default     = "*"
  nullable    = false

  validation {
    condition     = can(regex("^[!-~]+$", var.auto_scaling_group_name_pattern))
    error_message = "It must match ^[!-~]+$"
  }

  validation {
    condition     = length(var.auto_scaling_group_name_pattern) <= 255
    error_message = "At most 255 characters."
  }
}

variable "serve_event_bridge_notices" {
  description = "Whether the function also serves the lifecycle notifications that Auto Scaling sends to EventBridge, for hooks named hook_name."
  type        = bool
  default     = false
  nullable    = false
}

variable "hook_name" {
  description = "Name of the hooks whose EventBridge notifications are served. Not used unless serve_event_bridge_notices is true."
  type        = string
  default     = "drainer"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_/-]+$", var.hook_name))
    error_message = "It must match ^[A-Za-z0-9_/-]+$"
  }

  validation {
    condition     = length(var.hook_name) <= 255
    error_message = "At most 255 characters."
  }
}

variable "memory_megabytes" {
  description = "Memory of the function in MB, 256 to 3008. Lambda gives CPU in proportion to it."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = var.memory_megabytes >= 256 && var.memory_megabytes <= 3008
    error_message = "256 to 3008."
  }
}

variable "tracing" {
  description = "Whether X-Ray records passes. Active records nearly all: $5 for each million."
  type        = string
  default     = "PassThrough"
  nullable    = false

  validation {
    condition     = contains(["PassThrough", "Active"], var.tracing)
    error_message = "One of: PassThrough, Active."
  }
}

variable "traced_drains_percent" {
  # A Number may be 0.5, with which the function would not start: "An integer or float".
  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
  description = "Percent of drains of which X-Ray gets one trace each, 0 to 100. Unless 0, also of each drain that lasts for long_drain_alarm_minutes or misses its deadline."
  type        = string
  default     = "0"
  nullable    = false

  validation {
    condition     = can(regex("^([0-9]|[1-9][0-9]|100)$", var.traced_drains_percent))
    error_message = "A whole number from 0 to 100."
  }
}

variable "log_retention_days" {
  description = "Days that the function's log is kept, 1 to 3653."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653], var.log_retention_days)
    error_message = "One of: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653."
  }
}

variable "record_retention_days" {
  description = "Days that the record of a drain is kept after its end, 1 to 365."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.record_retention_days >= 1 && var.record_retention_days <= 365
    error_message = "1 to 365."
  }
}

variable "topic_kms_key_arn" {
  # The key's policy must let these use kms:GenerateDataKey* and kms:Decrypt: the role of this
  # module, the role of every attached hook, the role that runs a stack with a Custom::ECSDrain,
  # and each AWS service that publishes here. With the AWS-managed key alias/aws/sns only SNS
  # could publish. If a notification is rejected, the hook's default result applies at once,
  # undrained.
  # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
  description = "ARN of a customer-managed KMS key for the topic. Empty: the topic has no KMS key."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.topic_kms_key_arn))
    error_message = "The ARN of a customer-managed KMS key, or empty."
  }

  validation {
    condition     = length(var.topic_kms_key_arn) <= 2048
    error_message = "At most 2048 characters."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of the IAM policy that bounds the function's role. Empty: no boundary."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "The ARN of an IAM policy, or empty."
  }

  validation {
    condition     = length(var.permissions_boundary_arn) <= 2048
    error_message = "At most 2048 characters."
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

variable "operator_topic_arn" {
  description = "ARN of the SNS topic, without a KMS key, that gets a message when a drain nears its deadline and when it has passed. Empty: none."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", var.operator_topic_arn))
    error_message = "The ARN of an SNS topic, or empty."
  }

  validation {
    condition     = length(var.operator_topic_arn) <= 2048
    error_message = "At most 2048 characters."
  }
}
