variable "name" {
  description = "Name that the names of the resources begin with."
  type        = string
  default     = "shop"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,15}$", var.name))
    error_message = "A small letter, and then at most 15 small letters, digits and hyphens."
  }
}

variable "zip_file" {
  description = "Path of the function's zip, which `make package` writes to build/drainer.zip."
  type        = string
  nullable    = false
}

variable "services" {
  description = "Services behind the load balancer by name: the host name of their requests, the container image, the container's port, its memory in MB, and the least and the greatest number of tasks."
  type = map(object({
    host   = string
    image  = optional(string, "public.ecr.aws/docker/library/nginx:stable-alpine")
    port   = optional(number, 80)
    memory = optional(number, 128)
    least  = optional(number, 2)
    most   = optional(number, 8)
  }))
  nullable = false
  default = {
    web = { host = "www.example.com" }
    api = { host = "api.example.com" }
  }
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate for the host names. Empty: the load balancer speaks HTTP only."
  type        = string
  default     = ""
  nullable    = false
}

variable "visitor_cidr" {
  description = "Addresses that may visit the load balancer."
  type        = string
  default     = "0.0.0.0/0"
  nullable    = false
}

variable "tool_image" {
  description = "Container image of the daemon and of the scheduled task. It must have a shell."
  type        = string
  default     = "public.ecr.aws/docker/library/busybox:stable"
  nullable    = false
}

variable "job_schedule" {
  description = "EventBridge schedule of the task that runs by itself."
  type        = string
  default     = "cron(15 3 * * ? *)"
  nullable    = false
}

variable "image_parameter" {
  # A new image is a change of the plan, and its apply replaces the instances one after another.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/retrieve-ecs-optimized_AMI.html
  description = "Public parameter that holds the id of the ECS-optimized image."
  type        = string
  default     = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
  nullable    = false
}

variable "instance_type" {
  description = "EC2 instance type, of the same processor architecture as the image."
  type        = string
  default     = "t3.small"
  nullable    = false
}

variable "instance_count" {
  description = "Number of EC2 instances of the group. Not used with a capacity provider."
  type        = number
  default     = 2
  nullable    = false
}

variable "instance_count_max" {
  description = "Most EC2 instances that the group may have."
  type        = number
  default     = 4
  nullable    = false
}

variable "use_capacity_provider" {
  description = "Whether ECS sets the number of EC2 instances by what the services need, through a capacity provider."
  type        = bool
  default     = false
  nullable    = false
}

variable "drain_timeout_seconds" {
  description = "Seconds from the lifecycle notification to the deadline of a drain, 60 to 172800."
  type        = number
  default     = 172800
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that alarms notify. Empty: alarms show in the console only."
  type        = string
  default     = ""
  nullable    = false
}
