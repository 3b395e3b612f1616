# Written by `make terraform` from infra/attach.yaml: change that file, and not this one.

locals {
  use_permissions_boundary = var.permissions_boundary_arn != ""
  use_topic_kms_key        = var.topic_kms_key_arn != ""
  sets_cluster             = var.cluster != ""
  sets_drain_timeout       = var.drain_timeout_seconds != ""
  sets_deadline_result     = var.deadline_result != ""
  sets_standalone_tasks    = var.standalone_tasks != ""
  sets_standalone_grace    = var.standalone_grace_seconds != ""
  sets_anything            = local.sets_cluster || local.sets_drain_timeout || local.sets_deadline_result || local.sets_standalone_tasks || local.sets_standalone_grace

  settings = join(", ", concat(
    local.sets_cluster ? ["\"cluster\": \"${var.cluster}\""] : [],
    local.sets_drain_timeout ? ["\"drain_timeout_seconds\": ${var.drain_timeout_seconds}"] : [],
    local.sets_deadline_result ? ["\"deadline_result\": \"${var.deadline_result}\""] : [],
    local.sets_standalone_tasks ? ["\"standalone_tasks\": \"${var.standalone_tasks}\""] : [],
    local.sets_standalone_grace ? ["\"standalone_grace_seconds\": ${var.standalone_grace_seconds}"] : [],
  ))
}

resource "aws_iam_role" "notification_role" {
  name_prefix          = "${var.name}-"
  description          = "Lets Auto Scaling notify the drainer of ${var.auto_scaling_group_name}."
  permissions_boundary = local.use_permissions_boundary ? var.permissions_boundary_arn : null
  # No condition on the source here: a key that Auto Scaling does not send would make every
  # notification fail, and then the default result applies at once, undrained. No other account
  # can pass this role, and it may only notify.
  # https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "autoscaling.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
}

resource "aws_iam_role_policy" "notification_role" {
  role = aws_iam_role.notification_role.name
  name = "notify-the-drainer"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "NotifyTheDrainer"
          Effect   = "Allow"
          Action   = "sns:Publish"
          Resource = var.topic_arn
        },
      ],
      local.use_topic_kms_key ? [
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
        {
          Sid      = "PublishToTheEncryptedTopic"
          Effect   = "Allow"
          Action   = ["kms:GenerateDataKey*", "kms:Decrypt"]
          Resource = var.topic_kms_key_arn
        },
      ] : [],
    )
  })
}

resource "aws_autoscaling_lifecycle_hook" "terminating_hook" {
  autoscaling_group_name  = var.auto_scaling_group_name
  name                    = var.hook_name
  lifecycle_transition    = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout       = var.heartbeat_timeout_seconds
  default_result          = var.default_result
  notification_target_arn = var.topic_arn
  role_arn                = aws_iam_role.notification_role.arn
  # JSON with a key for each setting that is given. Auto Scaling takes no empty text, so that
  # without any setting the property is left out.
  # https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
  notification_metadata = local.sets_anything ? "{${local.settings}}" : null

  depends_on = [aws_iam_role_policy.notification_role]
}
