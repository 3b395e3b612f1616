# Written by `make terraform` from infra/spot.yaml: change that file, and not this one.

# How events move. The rules send every event to one queue, and Lambda collects them for one second,
# since Spot can take back hundreds of instances at once. One search finds a hundred of them. One
# invocation for each would exhaust ECS's request quotas. Events of EC2 Spot are best effort and are
# not repeated: the hook of module attach drains an instance whose event was lost.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id

  serves_interruptions             = var.serve_interruptions
  serves_rebalance_recommendations = var.serve_rebalance_recommendations
  serves_fargate_spot              = var.serve_fargate_spot
  # For a recommendation ECS moves the tasks, as in any drain. It needs no further permission.
  deregisters_targets = local.serves_interruptions || local.serves_fargate_spot
  serves_anything     = local.deregisters_targets || local.serves_rebalance_recommendations
  notify_alarms       = var.alarm_topic_arn != ""
}

# ---------------------------------------------------------------- EC2 Spot
resource "aws_cloudwatch_event_rule" "interruptions" {
  count = local.serves_interruptions ? 1 : 0

  name        = "${var.name}-Interruptions"
  description = "Sends Spot interruptions of EC2 instances to the drainer."
  state       = "ENABLED"
  # All three actions (terminate, stop, hibernate) end the tasks, so the pattern does not filter
  # by action. The event names no cluster and no group that it could filter by.
  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Spot Instance Interruption Warning"]
  })
}

resource "aws_cloudwatch_event_target" "interruptions" {
  count = local.serves_interruptions ? 1 : 0

  rule      = aws_cloudwatch_event_rule.interruptions[0].name
  target_id = "queue"
  arn       = aws_sqs_queue.queue[0].arn

  # The instance ends two minutes after the event.
  retry_policy {
    maximum_event_age_in_seconds = 120
    maximum_retry_attempts       = 20
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

resource "aws_cloudwatch_event_rule" "rebalance_recommendations" {
  count = local.serves_rebalance_recommendations ? 1 : 0

  name        = "${var.name}-RebalanceRecommendations"
  description = "Sends rebalance recommendations of EC2 instances to the drainer."
  state       = "ENABLED"
  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html
  event_pattern = jsonencode({
    source      = ["aws.ec2"]
    detail-type = ["EC2 Instance Rebalance Recommendation"]
  })
}

resource "aws_cloudwatch_event_target" "rebalance_recommendations" {
  count = local.serves_rebalance_recommendations ? 1 : 0

  rule      = aws_cloudwatch_event_rule.rebalance_recommendations[0].name
  target_id = "queue"
  arn       = aws_sqs_queue.queue[0].arn

  # A recommendation has no deadline. After 15 minutes it is dropped.
  retry_policy {
    maximum_event_age_in_seconds = 900
    maximum_retry_attempts       = 20
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

# ---------------------------------------------------------------- Fargate Spot
resource "aws_cloudwatch_event_rule" "fargate_spot" {
  count = local.serves_fargate_spot ? 1 : 0

  name        = "${var.name}-FargateSpot"
  description = "Sends Fargate Spot interruptions of tasks to the drainer."
  state       = "ENABLED"
  # ECS sends an event for every change of every task. Only interruptions reach the function.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-capacity-providers.html
  # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      desiredStatus = ["STOPPED"]
      # From the registration of its targets until its containers have ended. In later
      # statuses (DEPROVISIONING, STOPPED) the task serves no requests.
      # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
      lastStatus = ["ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING"]
      # A task of no service is in no target group.
      group = [{ prefix = "service:" }]
      # AWS's own example shows neither of these two, so events without them match too.
      launchType           = ["FARGATE", { exists = false }]
      capacityProviderName = ["FARGATE_SPOT", { exists = false }]
      # The present stop code, the one documented until 2023, and the reason that comes with
      # both, because some events had no stop code (aws/containers-roadmap #1565).
      "$or" = [
        { stopCode = ["SpotInterruption", "TerminationNotice"] },
        { stoppedReason = [{ prefix = "Your Spot Task was interrupted" }] },
      ]
    }
  })
}

resource "aws_cloudwatch_event_target" "fargate_spot" {
  count = local.serves_fargate_spot ? 1 : 0

  rule      = aws_cloudwatch_event_rule.fargate_spot[0].name
  target_id = "queue"
  arn       = aws_sqs_queue.queue[0].arn

  # The task ends two minutes after the event.
  retry_policy {
    maximum_event_age_in_seconds = 120
    maximum_retry_attempts       = 20
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

# ---------------------------------------------------------------- the queue
# The visibility timeout is not the six times the function's timeout that AWS recommends: a
# message that comes back after three minutes is about an instance that has ended. It is the
# function's 30 s, which Lambda requires, and two seconds for the window and the delivery. A
# throttled call is retried within the invocation. After that the event comes back after 32 s and
# after 64 s, within the 120 s.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
resource "aws_sqs_queue" "queue" {
  count = local.serves_anything ? 1 : 0

  name                       = "${var.name}-Queue"
  visibility_timeout_seconds = 32
  # A recommendation is read for 15 minutes, an interruption for two.
  message_retention_seconds = 900
  sqs_managed_sse_enabled   = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn
    # A fourth time would be after 96 s, which leaves requests too little time to end.
    maxReceiveCount = 3
  })
}

resource "aws_sqs_queue_policy" "queue_policy" {
  count = local.serves_anything ? 1 : 0

  queue_url = aws_sqs_queue.queue[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
      {
        Sid       = "AcceptEventsOfTheseRulesOnly"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.queue[0].arn
        Condition = {
          ArnEquals = {
            "aws:SourceArn" = concat(
              aws_cloudwatch_event_rule.interruptions[*].arn,
              aws_cloudwatch_event_rule.rebalance_recommendations[*].arn,
              aws_cloudwatch_event_rule.fargate_spot[*].arn,
            )
          }
        }
      },
    ]
  })
}

# Lambda reads the queue with the function's role and checks its policy when this is created.
resource "aws_lambda_event_source_mapping" "event_source_mapping" {
  count = local.serves_anything ? 1 : 0

  function_name    = var.function_arn
  event_source_arn = aws_sqs_queue.queue[0].arn
  # A hundred ids fit one search. More than ten records in a batch need a window of at least one
  # second. Lambda polls with five connections at first, so that many events at once still come
  # in batches of ten or twenty.
  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]

  # An invocation may take 30 s while ECS throttles it. With this limit, the last batch of ten
  # seconds does not wait for the first one to end.
  scaling_config {
    maximum_concurrency = 50
  }

  depends_on = [aws_iam_role_policy.queue_read_policy]
}

# ---------------------------------------------------------------- dead letters
# Events that EventBridge could not put into the queue in time, and events that failed three
# times. Fourteen days are the longest that SQS allows.
resource "aws_sqs_queue" "dead_letter_queue" {
  name                      = "${var.name}-DeadLetterQueue"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue_policy" "dead_letter_queue_policy" {
  count = local.serves_anything ? 1 : 0

  queue_url = aws_sqs_queue.dead_letter_queue.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
      {
        Sid       = "KeepEventsThatTheRulesCouldNotDeliver"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.dead_letter_queue.arn
        Condition = {
          ArnEquals = {
            "aws:SourceArn" = concat(
              aws_cloudwatch_event_rule.interruptions[*].arn,
              aws_cloudwatch_event_rule.rebalance_recommendations[*].arn,
              aws_cloudwatch_event_rule.fargate_spot[*].arn,
            )
          }
        }
      },
    ]
  })
}

# The only alarm: an event that EventBridge is not permitted to deliver comes here too, and a call
# that is denied raises AttentionAlarm of module drainer.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
resource "aws_cloudwatch_metric_alarm" "dead_letters_alarm" {
  alarm_name = "${var.name}-DeadLettersAlarm"
  alarm_description = join(" ", [
    "An event of Spot was not delivered in time, or failed 3 times, and is in the dead-letter",
    "queue. Harm: requests or tasks were cut when Spot took the instance back. Run: `aws sqs",
    "receive-message --queue-url ${aws_sqs_queue.dead_letter_queue.url} --max-number-of-messages 10`",
  ])
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letter_queue.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.notify_alarms ? [var.alarm_topic_arn] : null
}

# ---------------------------------------------------------------- permissions
# Permissions for interruptions beyond the role of module drainer: one statement for each call,
# whose Sid is the reason. If the resource is "*", the action has no resource type.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
resource "aws_iam_role_policy" "policy" {
  count = local.deregisters_targets ? 1 : 0

  name = "drainer-spot"
  role = var.role_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FindTheTargetGroupsOfAService"
        Effect   = "Allow"
        Action   = "ecs:DescribeServices"
        Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:service/${var.cluster_name_pattern}/*"
      },
      {
        Sid      = "DeregisterItsTargetsAtOnce"
        Effect   = "Allow"
        Action   = "elasticloadbalancing:DeregisterTargets"
        Resource = "arn:${local.partition}:elasticloadbalancing:${local.region}:${local.account_id}:targetgroup/${var.target_group_name_pattern}/*"
      },
      # Resource "*": the action has no resource type.
      {
        Sid      = "FindTheLastHealthyTarget"
        Effect   = "Allow"
        Action   = "elasticloadbalancing:DescribeTargetHealth"
        Resource = "*"
      },
      # Resource "*": the action has no resource type.
      {
        Sid      = "CheckTheDeregistrationDelay"
        Effect   = "Allow"
        Action   = "elasticloadbalancing:DescribeTargetGroupAttributes"
        Resource = "*"
      },
      # Resource "*": the action has no resource type.
      {
        Sid      = "CheckTheStopTimeout"
        Effect   = "Allow"
        Action   = "ecs:DescribeTaskDefinition"
        Resource = "*"
      },
    ]
  })
}

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
resource "aws_iam_role_policy" "queue_read_policy" {
  count = local.serves_anything ? 1 : 0

  name = "drainer-spot-queue"
  role = var.role_name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadTheQueueOfInterruptions"
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        Resource = aws_sqs_queue.queue[0].arn
      },
    ]
  })
}
