# Written by `make terraform` from infra/attach.yaml: change that file, and not this one.

variable "name" {
  description = "Name that the names of the resources begin with."
  type        = string
  default     = "drainer-attach"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,31}$", var.name))
    error_message = "A letter, and then at most 31 letters, digits and hyphens."
  }
}

variable "topic_arn" {
  description = "Output topic_arn of module drainer, or output TopicArn of a drainer's stack."
  type        = string
  nullable    = false
}

variable "auto_scaling_group_name" {
  description = "Name of the Auto Scaling group whose instances are drained."
  type        = string
  nullable    = false

  validation {
    condition     = length(var.auto_scaling_group_name) >= 1 && length(var.auto_scaling_group_name) <= 255
    error_message = "1 to 255 characters."
  }
}

variable "topic_kms_key_arn" {
  description = "topic_kms_key_arn of module drainer. Empty: the topic has no KMS key."
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
  description = "ARN of the IAM policy that bounds the role, which must allow sns:Publish on the drainer's topic or every instance goes undrained. Empty: no boundary."
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

variable "hook_name" {
  description = "Name of the lifecycle hook."
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

variable "heartbeat_timeout_seconds" {
  # A hundred times this reaches the 48 hours that Auto Scaling allows at most. Without heartbeats
  # the default result applies after half an hour.
  # https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
  description = "Seconds without a heartbeat after which Auto Scaling applies default_result, 30 to 7200. A drain can last 100 times as long, at most 172800 s."
  type        = number
  default     = 1800
  nullable    = false

  validation {
    condition     = var.heartbeat_timeout_seconds >= 30 && var.heartbeat_timeout_seconds <= 7200
    error_message = "30 to 7200."
  }
}

variable "default_result" {
  # ABANDON would skip the group's other hooks, such as that of ECS managed draining.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
  description = "What Auto Scaling does if no heartbeat comes for heartbeat_timeout_seconds. CONTINUE lets the group's other hooks finish, ABANDON skips them."
  type        = string
  default     = "CONTINUE"
  nullable    = false

  validation {
    condition     = contains(["CONTINUE", "ABANDON"], var.default_result)
    error_message = "One of: CONTINUE, ABANDON."
  }
}

variable "cluster" {
  # The drain's own settings. An empty one follows module drainer. Numbers are strings with a
  # pattern for their bounds, because a Number could not be empty.
  description = "Name or ARN of the ECS cluster. Empty: the Clusters of module drainer are searched."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_:/-]*$", var.cluster))
    error_message = "It must match ^[A-Za-z0-9_:/-]*$"
  }

  validation {
    condition     = length(var.cluster) <= 300
    error_message = "At most 300 characters."
  }
}

variable "drain_timeout_seconds" {
  description = "Seconds from the lifecycle notification to the deadline, 60 to 172800. Empty: the setting of module drainer."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^([6-9][0-9]|[1-9][0-9]{2,4}|1[0-6][0-9]{4}|17[01][0-9]{3}|172[0-7][0-9]{2}|172800)$", var.drain_timeout_seconds))
    error_message = "A whole number from 60 to 172800, or empty."
  }
}

variable "deadline_result" {
  description = "Answer to the hook at the deadline, where ABANDON retains the EC2 instance if the group's instance lifecycle policy says so. Empty: the setting of module drainer."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = contains(["", "CONTINUE", "ABANDON"], var.deadline_result)
    error_message = "One of: empty, CONTINUE, ABANDON."
  }
}

variable "standalone_tasks" {
  description = "Rule for tasks that belong to no service: wait for them, stop them after standalone_grace_seconds, or ignore them. Empty: the setting of module drainer."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = contains(["", "wait", "stop", "ignore"], var.standalone_tasks)
    error_message = "One of: empty, wait, stop, ignore."
  }
}

variable "standalone_grace_seconds" {
  description = "Seconds from DRAINING until standalone_tasks=stop stops standalone tasks, 0 to 172800. Empty: the setting of module drainer."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^$|^(0|[1-9][0-9]{0,4}|1[0-6][0-9]{4}|17[01][0-9]{3}|172[0-7][0-9]{2}|172800)$", var.standalone_grace_seconds))
    error_message = "A whole number from 0 to 172800, or empty."
  }
}
