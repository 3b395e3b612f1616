# Written by `make terraform` from infra/drainer.yaml: change that file, and not this one.

# How messages move. Auto Scaling publishes a lifecycle notification to Topic. notice_queue delivers
# it to Function without a delay. While tasks remain, Function publishes an envelope to the same
# Topic. The envelope waits in wait_queue for the pass interval and invokes Function again, up to a
# hundred in one batch. A request of CloudFormation for a Custom::ECSDrain takes the same way.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id

  detects_recursive_loops  = local.partition == "aws"
  use_topic_kms_key        = var.topic_kms_key_arn != ""
  use_permissions_boundary = var.permissions_boundary_arn != ""
  tell_operators           = var.operator_topic_arn != ""
  notify_alarms            = var.alarm_topic_arn != ""
  has_fast_path            = var.use_fast_path
  serves_event_bridge      = var.serve_event_bridge_notices
}

# ---------------------------------------------------------------- topic and subscriptions
resource "aws_sns_topic" "topic" {
  name              = "${var.name}-Topic"
  kms_master_key_id = local.use_topic_kms_key ? var.topic_kms_key_arn : null
}

resource "aws_sns_topic_policy" "topic_policy" {
  arn = aws_sns_topic.topic.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # Auto Scaling publishes as the role of the hook (RoleARN), which module attach makes in
      # this account after this module is applied, so that its name cannot be written here. The
      # account's root as principal leaves the choice to the identity policies of this
      # account alone: no other account and no AWS service gets in.
      # https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html
      # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
      # CloudFormation also publishes as a principal of this account: as the user or role that
      # runs the stack operation, or as the stack's service role. That needs sns:Publish here.
      # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
      {
        Sid       = "PublishByRolesOfThisAccountWhosePolicySaysSo"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account_id}:root" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.topic.arn
      },
    ]
  })
}

# A message that arrives before the queue admits it would go to the dead letters.
resource "aws_sns_topic_subscription" "notice_subscription" {
  topic_arn = aws_sns_topic.topic.arn
  protocol  = "sqs"
  endpoint  = aws_sqs_queue.notice_queue.arn
  # Auto Scaling sets no message attributes, so the filter reads the body; it keeps test
  # notifications and launches out.
  # https://docs.aws.amazon.com/sns/latest/dg/sns-message-filtering-scope.html
  filter_policy_scope = "MessageBody"
  # One subscription for both kinds of messages: SNS rejects a second one of the same queue with
  # "Subscription already exists with different attributes". Notifications and envelopes have no
  # RequestType, and these are all types of CloudFormation.
  # https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
  # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes.html
  filter_policy = jsonencode({
    "$or" = [
      { LifecycleTransition = ["autoscaling:EC2_INSTANCE_TERMINATING"] },
      { RequestType = ["Create", "Update", "Delete"] },
    ]
  })
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn })

  depends_on = [
    aws_sqs_queue_policy.notice_queue_policy,
    aws_sqs_queue_policy.dead_letter_queue_policy,
  ]
}

resource "aws_sns_topic_subscription" "envelope_subscription" {
  topic_arn           = aws_sns_topic.topic.arn
  protocol            = "sqs"
  endpoint            = aws_sqs_queue.wait_queue.arn
  filter_policy_scope = "MessageBody"
  filter_policy = (
    local.has_fast_path
    ? jsonencode({ drainer = ["re-invocation"], quiet = [{ exists = false }] })
    : jsonencode({ drainer = ["re-invocation"] })
  )
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn })

  depends_on = [
    aws_sqs_queue_policy.wait_queue_policy,
    aws_sqs_queue_policy.dead_letter_queue_policy,
  ]
}

resource "aws_sns_topic_subscription" "quiet_subscription" {
  count = local.has_fast_path ? 1 : 0

  topic_arn           = aws_sns_topic.topic.arn
  protocol            = "sqs"
  endpoint            = aws_sqs_queue.quiet_queue[0].arn
  filter_policy_scope = "MessageBody"
  filter_policy       = jsonencode({ drainer = ["re-invocation"], quiet = [true] })
  redrive_policy      = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn })

  depends_on = [
    aws_sqs_queue_policy.quiet_queue_policy,
    aws_sqs_queue_policy.dead_letter_queue_policy,
  ]
}

# ---------------------------------------------------------------- queues
# Each visibility timeout is six times the function's timeout plus the batching window, as
# Lambda advises, so that a batch is not handed out again while it is still being served.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
# Four days of retention outlast every lifecycle action, which ends after 48 hours.
# A request of CloudFormation holds a URL that is a secret: everyone who has it can send a
# response. So every queue that a request can come to is encrypted.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-server-side-encryption.html
resource "aws_sqs_queue" "notice_queue" {
  name                       = "${var.name}-NoticeQueue"
  delay_seconds              = 0
  visibility_timeout_seconds = 180
  message_retention_seconds  = 345600
  sqs_managed_sse_enabled    = true
  # Lambda advises at least five, so that throttled batches do not count as failed ones.
  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "wait_queue" {
  name = "${var.name}-WaitQueue"
  # SNS cannot delay a message; the queue can.
  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
  delay_seconds              = var.pass_interval_seconds
  visibility_timeout_seconds = 181
  message_retention_seconds  = 345600
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn
    maxReceiveCount     = 5
  })
}

# The envelopes of drains of which nothing changes wait longer: with the fast path an event tells
# when a task has stopped. Of one drain of two hours that is 100 passes instead of 480.
resource "aws_sqs_queue" "quiet_queue" {
  count = local.has_fast_path ? 1 : 0

  name = "${var.name}-QuietQueue"
  # QUIET_SECONDS in drainer/drain/record.py, which says why it may not be more.
  delay_seconds              = 75
  visibility_timeout_seconds = 181
  message_retention_seconds  = 345600
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letter_queue.arn
    maxReceiveCount     = 5
  })
}

# Events of the fast path wait here and never before a notification. Five minutes later they are of
# no use: later passes have looked since. So it has no redrive policy.
resource "aws_sqs_queue" "wake_up_queue" {
  count = local.has_fast_path ? 1 : 0

  name                       = "${var.name}-WakeUpQueue"
  visibility_timeout_seconds = 181
  message_retention_seconds  = 300
  sqs_managed_sse_enabled    = true
}

resource "aws_sqs_queue_policy" "wake_up_queue_policy" {
  count = local.has_fast_path ? 1 : 0

  queue_url = aws_sqs_queue.wake_up_queue[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
      {
        Sid       = "DeliverWakeUpsOfTheFastPathOnly"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.wake_up_queue[0].arn
        Condition = {
          ArnEquals = {
            "aws:SourceArn" = [
              aws_cloudwatch_event_rule.fast_path[0].arn,
              aws_cloudwatch_event_rule.stopped_tasks[0].arn,
            ]
          }
        }
      },
    ]
  })
}

resource "aws_sqs_queue_policy" "notice_queue_policy" {
  queue_url = aws_sqs_queue.notice_queue.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "DeliverNotificationsOfThisTopicOnly"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.notice_queue.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.topic.arn } }
      },
    ]
  })
}

resource "aws_sqs_queue_policy" "wait_queue_policy" {
  queue_url = aws_sqs_queue.wait_queue.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "DeliverEnvelopesOfThisTopicOnly"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.wait_queue.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.topic.arn } }
      },
    ]
  })
}

resource "aws_sqs_queue_policy" "quiet_queue_policy" {
  count = local.has_fast_path ? 1 : 0

  queue_url = aws_sqs_queue.quiet_queue[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "DeliverEnvelopesOfThisTopicOnly"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.quiet_queue[0].arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.topic.arn } }
      },
    ]
  })
}

# ---------------------------------------------------------------- dead letters
# One queue for every fault, so that one alarm watches them all: SNS could not reach a queue, a
# message failed five times, an asynchronous invocation failed three times, or EventBridge could
# not deliver an event. `make redrive` knows by each message where it belongs. The queue keeps
# messages for fourteen days, the longest that SQS allows.
resource "aws_sqs_queue" "dead_letter_queue" {
  name                      = "${var.name}-DeadLetterQueue"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}

# SQS and Lambda need no statement: SQS moves messages by the queues' redrive policies, and Lambda
# sends with the function's role.
resource "aws_sqs_queue_policy" "dead_letter_queue_policy" {
  queue_url = aws_sqs_queue.dead_letter_queue.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      # https://docs.aws.amazon.com/sns/latest/dg/sns-configure-dead-letter-queue.html
      {
        Sid       = "KeepMessagesThatThisTopicCouldNotDeliver"
        Effect    = "Allow"
        Principal = { Service = "sns.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.dead_letter_queue.arn
        Condition = { ArnEquals = { "aws:SourceArn" = aws_sns_topic.topic.arn } }
      },
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
              [aws_cloudwatch_event_rule.sweep.arn],
              aws_cloudwatch_event_rule.fast_path[*].arn,
              aws_cloudwatch_event_rule.stopped_tasks[*].arn,
              aws_cloudwatch_event_rule.event_bridge_notices[*].arn,
            )
          }
        }
      },
    ]
  })
}

# ---------------------------------------------------------------- drain records
# One record for each lifecycle action and each request of CloudFormation: its deadline, its token
# or response URL, and how far it is. No backups: a record is written again every pass interval,
# so a backup would be outdated.
# No SSESpecification: every table is encrypted at rest, and the default, a key that AWS owns,
# has no price, no KMS quota, and no key policy that could deny the function.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/EncryptionAtRest.html
resource "aws_dynamodb_table" "records" {
  name         = "${var.name}-Records"
  billing_mode = "PAY_PER_REQUEST"

  attribute {
    name = "instance"
    type = "S"
  }

  attribute {
    name = "subject"
    type = "S"
  }

  attribute {
    name = "open"
    type = "S"
  }

  hash_key  = "instance"
  range_key = "subject"

  # Sparse: it has only drains that are open ("1"), instances that may come back ("2") and
  # requests that are open ("3"). It projects keys alone, and no pass changes a key, so that a
  # pass costs no write to it.
  global_secondary_index {
    name            = "open"
    hash_key        = "open"
    range_key       = "instance"
    projection_type = "KEYS_ONLY"
  }

  point_in_time_recovery {
    enabled = false
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
}

# Requests of CloudFormation that began under the previous release. The function only reads this
# table, and continues such a request in the table above. A request ends within an hour, so a later
# release can remove this table. No SSESpecification, as above.
resource "aws_dynamodb_table" "requests_table" {
  name         = "${var.name}-RequestsTable"
  billing_mode = "PAY_PER_REQUEST"

  attribute {
    name = "request"
    type = "S"
  }

  hash_key = "request"

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
}

# ---------------------------------------------------------------- function
resource "aws_cloudwatch_log_group" "log_group" {
  name              = "${var.name}-LogGroup"
  retention_in_days = var.log_retention_days
}

resource "aws_lambda_function" "function" {
  function_name    = "${var.name}-Function"
  description      = "Drains ECS container instances before their EC2 instances are terminated."
  runtime          = "python3.13"
  architectures    = ["arm64"]
  handler          = "drainer.start.lambda_handler"
  filename         = var.zip_file
  source_code_hash = filebase64sha256(var.zip_file)
  role             = aws_iam_role.role.arn
  # Memory sets the share of a processor: 1,769 MB are one. `make bench WHAT=--start-up` shows
  # what that makes of a cold start and of a pass. With 512 MB they take about 1.4 s and 0.3 s.
  # With 256 MB 100,000 passes would cost $0.07 less and a start would take 2.7 s. A crowd needs
  # more: a batch of 100 drains computes 0.5 s, which is 2 s with 512 MB and 4 s with 256 MB.
  # For 1,000 drains, two batches at a time, that is 10 s of an interval of 15 s, or 20 s. No
  # measurement used more than 50 MB. INIT is billed since August 2025.
  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
  # https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
  memory_size = var.memory_megabytes
  # A pass of a hundred drains takes a few seconds. Messages that it does not reach come back.
  timeout = 30

  # Active records one request a second and 5 % of the others, which is nearly every pass of a
  # single drain; the rate cannot be set. PassThrough follows what the caller has sampled.
  # https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
  tracing_config {
    mode = var.tracing
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "INFO"
    log_group             = aws_cloudwatch_log_group.log_group.name
  }

  environment {
    variables = {
      DRAINER_TOPIC_ARN                = aws_sns_topic.topic.arn
      DRAINER_CLUSTERS                 = var.clusters
      DRAINER_DRAIN_TIMEOUT_SECONDS    = var.drain_timeout_seconds
      DRAINER_DEADLINE_RESULT          = var.deadline_result
      DRAINER_STANDALONE_TASKS         = var.standalone_tasks
      DRAINER_STANDALONE_GRACE_SECONDS = var.standalone_grace_seconds
      DRAINER_PASS_INTERVAL_SECONDS    = var.pass_interval_seconds
      DRAINER_USE_FAST_PATH            = var.use_fast_path
      DRAINER_INTERRUPTED_TARGETS      = var.interrupted_targets
      DRAINER_REQUESTS_TABLE           = aws_dynamodb_table.requests_table.name
      DRAINER_RECORDS_TABLE            = aws_dynamodb_table.records.name
      DRAINER_RECORD_RETENTION_DAYS    = var.record_retention_days
      DRAINER_LONG_DRAIN_ALARM_MINUTES = var.long_drain_alarm_minutes
      # What waits here at a sweep is not read by Lambda.
      DRAINER_NOTICE_QUEUE_URL      = aws_sqs_queue.notice_queue.url
      DRAINER_OPERATOR_TOPIC_ARN    = var.operator_topic_arn
      DRAINER_TRACED_DRAINS_PERCENT = var.traced_drains_percent
      # A request is served only if CloudFormation says that its stack is being changed.
      DRAINER_VERIFY_STACKS = "true"
      # The dimension of every metric: two drainers in one account must not alarm for each other.
      POWERTOOLS_SERVICE_NAME      = var.name
      POWERTOOLS_METRICS_NAMESPACE = "Drainer"
    }
  }

  depends_on = [aws_iam_role_policy.role]
}

# While tasks remain, the function publishes to the topic that invokes it. Unless this says
# Allow, Lambda detects a loop and drops the chain after about 16 invocations, and the hook
# gets no error. Two limits stop a chain instead: the deadline of the drain, which is fixed
# once, and the limit on hops in the envelope.
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
# The property and loop detection exist in "all commercial Regions". In other Regions
# Lambda would reject the setting.
resource "aws_lambda_function_recursion_config" "function" {
  count = local.detects_recursive_loops ? 1 : 0

  function_name  = aws_lambda_function.function.function_name
  recursive_loop = "Allow"
}

# Two batches of each queue at once, the least that Lambda allows: ECS sustains 20 reads a second
# for the whole account, and two batches that check tasks one by one already come near it.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
resource "aws_lambda_event_source_mapping" "notice_event_source_mapping" {
  function_name    = aws_lambda_function.function.function_name
  event_source_arn = aws_sqs_queue.notice_queue.arn
  # Ten notifications fill one UpdateContainerInstancesState, which takes ten container
  # instances.
  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_UpdateContainerInstancesState.html
  batch_size                         = 10
  maximum_batching_window_in_seconds = 0
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

resource "aws_lambda_event_source_mapping" "envelope_event_source_mapping" {
  function_name    = aws_lambda_function.function.function_name
  event_source_arn = aws_sqs_queue.wait_queue.arn
  # A hundred envelopes fill one DescribeContainerInstances. More than ten records in a batch
  # need a window of at least one second.
  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeContainerInstances.html
  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

resource "aws_lambda_event_source_mapping" "quiet_event_source_mapping" {
  count = local.has_fast_path ? 1 : 0

  function_name                      = aws_lambda_function.function.function_name
  event_source_arn                   = aws_sqs_queue.quiet_queue[0].arn
  batch_size                         = 100
  maximum_batching_window_in_seconds = 1
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

# A batch of more than ten needs a window of a second, by which each answer would be later. Two
# batches at once serve a burst of events one after another, and one query drops those of
# instances that are not drained.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
resource "aws_lambda_event_source_mapping" "wake_up_event_source_mapping" {
  count = local.has_fast_path ? 1 : 0

  function_name                      = aws_lambda_function.function.function_name
  event_source_arn                   = aws_sqs_queue.wake_up_queue[0].arn
  batch_size                         = 10
  maximum_batching_window_in_seconds = 0
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 2
  }
}

# For invocations without a queue: by EventBridge, or by CloudFormation, which invokes the
# function asynchronously if its ARN is the service token.
# https://docs.aws.amazon.com/lambda/latest/dg/services-cloudformation.html
resource "aws_lambda_function_event_invoke_config" "asynchronous_invocations" {
  function_name = aws_lambda_function.function.function_name
  qualifier     = "$LATEST"
  # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letter_queue.arn
    }
  }
}

# ---------------------------------------------------------------- EventBridge
# The fast path. ECS sends an event for every change of a container instance, and for every task
# that stops. After a task has stopped the function looks at once, and not at the next pass. A
# change of a container instance tells of one that is back in service. The events take a queue of
# their own. They are best effort: the next pass (after 75 s at most) or the next sweep looks too.
resource "aws_cloudwatch_event_rule" "fast_path" {
  count = local.has_fast_path ? 1 : 0

  name        = "${var.name}-FastPath"
  description = "Sends changes of DRAINING container instances to the drainer."
  state       = "ENABLED"
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_container_instance_events.html
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Container Instance State Change"]
    detail      = { status = ["DRAINING"] }
  })
}

resource "aws_cloudwatch_event_target" "fast_path" {
  count = local.has_fast_path ? 1 : 0

  rule      = aws_cloudwatch_event_rule.fast_path[0].name
  target_id = "wake-ups"
  arn       = aws_sqs_queue.wake_up_queue[0].arn

  retry_policy {
    maximum_event_age_in_seconds = 300
    maximum_retry_attempts       = 3
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

# No container instance event is documented for the end of a task that the service scheduler stops.
resource "aws_cloudwatch_event_rule" "stopped_tasks" {
  count = local.has_fast_path ? 1 : 0

  name        = "${var.name}-StoppedTasks"
  description = "Sends tasks that stop on container instances to the drainer."
  state       = "ENABLED"
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail      = { lastStatus = ["STOPPED"], containerInstanceArn = [{ exists = true }] }
  })
}

resource "aws_cloudwatch_event_target" "stopped_tasks" {
  count = local.has_fast_path ? 1 : 0

  rule      = aws_cloudwatch_event_rule.stopped_tasks[0].name
  target_id = "wake-ups"
  arn       = aws_sqs_queue.wake_up_queue[0].arn

  retry_policy {
    maximum_event_age_in_seconds = 300
    maximum_retry_attempts       = 3
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

# The sweep. It finds every instance that waits under a hook of the drainer without a message.
resource "aws_cloudwatch_event_rule" "sweep" {
  name                = "${var.name}-Sweep"
  description         = "Invokes the drainer to find all waiting instances."
  state               = "ENABLED"
  schedule_expression = "rate(${var.sweep_interval_minutes} minutes)"
}

resource "aws_cloudwatch_event_target" "sweep" {
  rule      = aws_cloudwatch_event_rule.sweep.name
  target_id = "sweep"
  arn       = aws_lambda_function.function.arn
  input     = "{\"drainer\": \"sweep\"}"

  # The next sweep finds the same instances.
  retry_policy {
    maximum_event_age_in_seconds = 300
    maximum_retry_attempts       = 3
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

# No SourceAccount here: "A SourceAccount setting prevents EventBridge from being able to invoke
# the function." The rule's ARN holds the account already.
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-troubleshooting.html
resource "aws_lambda_permission" "sweep_permission" {
  function_name = aws_lambda_function.function.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.sweep.arn
}

# The notifications that Auto Scaling also sends to EventBridge. Off by default.
resource "aws_cloudwatch_event_rule" "event_bridge_notices" {
  count = local.serves_event_bridge ? 1 : 0

  name        = "${var.name}-EventBridgeNotices"
  description = "Sends lifecycle actions of terminating EC2 instances to the drainer."
  state       = "ENABLED"
  # Every hook of the account sends these. Without the name, other hooks would invoke it too.
  # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
  event_pattern = jsonencode({
    source      = ["aws.autoscaling"]
    detail-type = ["EC2 Instance-terminate Lifecycle Action"]
    detail      = { LifecycleHookName = [var.hook_name] }
  })
}

resource "aws_cloudwatch_event_target" "event_bridge_notices" {
  count = local.serves_event_bridge ? 1 : 0

  rule      = aws_cloudwatch_event_rule.event_bridge_notices[0].name
  target_id = "drainer"
  arn       = aws_lambda_function.function.arn

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letter_queue.arn
  }
}

resource "aws_lambda_permission" "event_bridge_permission" {
  count = local.serves_event_bridge ? 1 : 0

  function_name = aws_lambda_function.function.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.event_bridge_notices[0].arn
}

# ---------------------------------------------------------------- permissions
# One statement for each call that the program makes. Its Sid is the reason. If the resource is
# "*", AWS's service authorization reference names no resource type for the action.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html
resource "aws_iam_role" "role" {
  name_prefix = "${var.name}-"
  description = "What the drainer's function may do."
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "lambda.amazonaws.com" }
        Action    = "sts:AssumeRole"
      },
    ]
  })
  permissions_boundary = local.use_permissions_boundary ? var.permissions_boundary_arn : null
}

resource "aws_iam_role_policy" "role" {
  role = aws_iam_role.role.name
  name = "drainer"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        # Resource "*": the action has no resource type.
        {
          Sid      = "CheckThatTheInstanceStillWaits"
          Effect   = "Allow"
          Action   = "autoscaling:DescribeAutoScalingInstances"
          Resource = "*"
        },
        # Resource "*": the action has no resource type.
        {
          Sid      = "FindWaitingInstancesInTheGroups"
          Effect   = "Allow"
          Action   = "autoscaling:DescribeAutoScalingGroups"
          Resource = "*"
        },
        # Resource "*": the action has no resource type.
        {
          Sid      = "FindWaitingInstancesInWarmPools"
          Effect   = "Allow"
          Action   = "autoscaling:DescribeWarmPool"
          Resource = "*"
        },
        # Resource "*": the action has no resource type.
        {
          Sid      = "ReadTheHooksTimeoutsAndMetadata"
          Effect   = "Allow"
          Action   = "autoscaling:DescribeLifecycleHooks"
          Resource = "*"
        },
        {
          Sid      = "KeepTheInstanceWaiting"
          Effect   = "Allow"
          Action   = "autoscaling:RecordLifecycleActionHeartbeat"
          Resource = "arn:${local.partition}:autoscaling:${local.region}:${local.account_id}:autoScalingGroup:*:autoScalingGroupName/${var.auto_scaling_group_name_pattern}"
        },
        {
          Sid      = "AnswerTheHook"
          Effect   = "Allow"
          Action   = "autoscaling:CompleteLifecycleAction"
          Resource = "arn:${local.partition}:autoscaling:${local.region}:${local.account_id}:autoScalingGroup:*:autoScalingGroupName/${var.auto_scaling_group_name_pattern}"
        },
        # Resource "*": the action has no resource type.
        {
          Sid      = "FindClustersIfNoneIsNamed"
          Effect   = "Allow"
          Action   = "ecs:ListClusters"
          Resource = "*"
        },
        {
          Sid      = "FindTheContainerInstance"
          Effect   = "Allow"
          Action   = "ecs:ListContainerInstances"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:cluster/${var.cluster_name_pattern}"
        },
        {
          Sid      = "ReadItsStatusAndCounts"
          Effect   = "Allow"
          Action   = "ecs:DescribeContainerInstances"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:container-instance/${var.cluster_name_pattern}/*"
        },
        {
          Sid      = "SetItDrainingOrActiveAgain"
          Effect   = "Allow"
          Action   = "ecs:UpdateContainerInstancesState"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:container-instance/${var.cluster_name_pattern}/*"
        },
        # Without force, so that ECS refuses it while tasks run.
        {
          Sid      = "RemoveAnEarlierRegistration"
          Effect   = "Allow"
          Action   = "ecs:DeregisterContainerInstance"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:cluster/${var.cluster_name_pattern}"
        },
        {
          Sid      = "StoreWhyItIsSetDraining"
          Effect   = "Allow"
          Action   = "ecs:PutAttributes"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:container-instance/${var.cluster_name_pattern}/*"
        },
        {
          Sid      = "ListItsTasks"
          Effect   = "Allow"
          Action   = "ecs:ListTasks"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:container-instance/${var.cluster_name_pattern}/*"
        },
        {
          Sid      = "CheckThatTasksAreStopped"
          Effect   = "Allow"
          Action   = "ecs:DescribeTasks"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${var.cluster_name_pattern}/*"
        },
        {
          Sid      = "StopStandaloneTasksIfConfigured"
          Effect   = "Allow"
          Action   = "ecs:StopTask"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${var.cluster_name_pattern}/*"
        },
        {
          Sid      = "ReadTheRecordsOfABatch"
          Effect   = "Allow"
          Action   = "dynamodb:BatchGetItem"
          Resource = aws_dynamodb_table.records.arn
        },
        {
          Sid      = "WriteARecordUnlessAnotherPassHas"
          Effect   = "Allow"
          Action   = "dynamodb:UpdateItem"
          Resource = aws_dynamodb_table.records.arn
        },
        {
          Sid    = "FindOpenRecordsAndTheRecordsOfAnInstance"
          Effect = "Allow"
          Action = "dynamodb:Query"
          Resource = [
            aws_dynamodb_table.records.arn,
            "${aws_dynamodb_table.records.arn}/index/open",
          ]
        },
        # The next eight are for requests of CloudFormation, two of them for requests that began
        # under the previous release.
        {
          Sid      = "CheckThatTheRequestingStackIsBeingChanged"
          Effect   = "Allow"
          Action   = "cloudformation:DescribeStacks"
          Resource = "arn:${local.partition}:cloudformation:${local.region}:${local.account_id}:stack/*/*"
        },
        {
          Sid      = "FindTheRequestingResourceAndItsTarget"
          Effect   = "Allow"
          Action   = "cloudformation:ListStackResources"
          Resource = "arn:${local.partition}:cloudformation:${local.region}:${local.account_id}:stack/*/*"
        },
        {
          Sid      = "ReadARequestOfThePreviousRelease"
          Effect   = "Allow"
          Action   = "dynamodb:GetItem"
          Resource = aws_dynamodb_table.requests_table.arn
        },
        {
          Sid      = "FindRequestsOfThePreviousReleaseWithoutAResponse"
          Effect   = "Allow"
          Action   = "dynamodb:Scan"
          Resource = aws_dynamodb_table.requests_table.arn
        },
        {
          Sid      = "CheckThatTheClusterExists"
          Effect   = "Allow"
          Action   = "ecs:DescribeClusters"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:cluster/${var.cluster_name_pattern}"
        },
        {
          Sid      = "FindTheInstancesOfASpotFleet"
          Effect   = "Allow"
          Action   = "ec2:DescribeSpotFleetInstances"
          Resource = "arn:${local.partition}:ec2:${local.region}:${local.account_id}:spot-fleet-request/*"
        },
        {
          Sid      = "FindTheGroupOfACapacityProvider"
          Effect   = "Allow"
          Action   = "ecs:DescribeCapacityProviders"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:capacity-provider/*"
        },
        {
          Sid      = "RemoveTheAttributeWhenItIsActiveAgain"
          Effect   = "Allow"
          Action   = "ecs:DeleteAttributes"
          Resource = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:container-instance/${var.cluster_name_pattern}/*"
        },
        {
          Sid      = "InvokeItselfAgain"
          Effect   = "Allow"
          Action   = "sns:Publish"
          Resource = aws_sns_topic.topic.arn
        },
      ],
      local.tell_operators ? [
        {
          Sid      = "TellOperators"
          Effect   = "Allow"
          Action   = "sns:Publish"
          Resource = var.operator_topic_arn
        },
      ] : [],
      local.use_topic_kms_key ? [
        # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
        {
          Sid      = "PublishToTheEncryptedTopic"
          Effect   = "Allow"
          Action   = ["kms:GenerateDataKey*", "kms:Decrypt"]
          Resource = var.topic_kms_key_arn
        },
      ] : [],
      [
        # The next three are Lambda's own, made with this role by the event source mappings. A
        # sweep makes the third too, for the notification queue.
        # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        {
          Sid    = "TakeMessagesFromTheQueues"
          Effect = "Allow"
          Action = "sqs:ReceiveMessage"
          Resource = concat(
            [aws_sqs_queue.notice_queue.arn, aws_sqs_queue.wait_queue.arn],
            aws_sqs_queue.quiet_queue[*].arn,
            aws_sqs_queue.wake_up_queue[*].arn,
          )
        },
        {
          Sid    = "RemoveServedMessages"
          Effect = "Allow"
          Action = "sqs:DeleteMessage"
          Resource = concat(
            [aws_sqs_queue.notice_queue.arn, aws_sqs_queue.wait_queue.arn],
            aws_sqs_queue.quiet_queue[*].arn,
            aws_sqs_queue.wake_up_queue[*].arn,
          )
        },
        {
          Sid    = "ReadTheQueuesSettings"
          Effect = "Allow"
          Action = "sqs:GetQueueAttributes"
          Resource = concat(
            [aws_sqs_queue.notice_queue.arn, aws_sqs_queue.wait_queue.arn],
            aws_sqs_queue.quiet_queue[*].arn,
            aws_sqs_queue.wake_up_queue[*].arn,
          )
        },
        # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
        {
          Sid      = "KeepEventsThatFailed"
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = aws_sqs_queue.dead_letter_queue.arn
        },
        {
          Sid      = "OpenALogStream"
          Effect   = "Allow"
          Action   = "logs:CreateLogStream"
          Resource = "${aws_cloudwatch_log_group.log_group.arn}:*"
        },
        {
          Sid      = "WriteTheLog"
          Effect   = "Allow"
          Action   = "logs:PutLogEvents"
          Resource = "${aws_cloudwatch_log_group.log_group.arn}:*"
        },
        # The first is for the traces of drains too. Resource "*": X-Ray's two write actions have
        # no resource type.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html
        {
          Sid      = "SendTraces"
          Effect   = "Allow"
          Action   = "xray:PutTraceSegments"
          Resource = "*"
        },
        {
          Sid      = "SendTraceTelemetry"
          Effect   = "Allow"
          Action   = "xray:PutTelemetryRecords"
          Resource = "*"
        },
      ],
    )
  })
}

# ---------------------------------------------------------------- alarms
# Each alarm costs $0.10 a month for each metric that it reads, also by an expression, and a
# composite alarm $0.50. So there are five. Three of them need no running function: that it is not
# invoked, that it fails, and what was not delivered to it. The function reports the rest by two
# metrics, which cost nothing unless there is a report.
# https://aws.amazon.com/cloudwatch/pricing/
# A function that is not invoked has no data in this metric. An idle function is invoked by each
# sweep, unless its rule has no permission or Lambda throttles all invocations. As many periods of
# three minutes as the sweep interval has minutes are three intervals: 15 minutes by default. A new
# module shows ALARM until the first sweep.
resource "aws_cloudwatch_metric_alarm" "not_invoked_alarm" {
  alarm_name = "${var.name}-NotInvokedAlarm"
  alarm_description = join(" ", [
    "The function was not invoked for three sweep intervals of ${var.sweep_interval_minutes}",
    "minutes. Harm: no instance is drained, and each hook applies its default result. Run:",
    "`aws lambda get-policy --function-name ${aws_lambda_function.function.function_name}`",
  ])
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 180
  evaluation_periods  = var.sweep_interval_minutes
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.notify_alarms ? [var.alarm_topic_arn] : null
}

resource "aws_cloudwatch_metric_alarm" "function_errors_alarm" {
  alarm_name = "${var.name}-FunctionErrorsAlarm"
  alarm_description = join(" ", [
    "In the last 5 minutes an invocation of the function failed. Harm: its messages are",
    "delivered again in 3 minutes, and after 5 failures they are dead letters. Run: `aws logs",
    "filter-log-events --log-group-name ${aws_cloudwatch_log_group.log_group.name} --filter-pattern '?ERROR ?errorType",
    "?timeout'`",
  ])
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.function.function_name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.notify_alarms ? [var.alarm_topic_arn] : null
}

# The number of visible messages, because NumberOfMessagesSent does not count what SNS or SQS
# moved to a dead-letter queue by themselves. EventBridge sends an event here that it is not
# permitted to deliver, and SQS a message that Lambda drops as a recursive loop.
# https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
resource "aws_cloudwatch_metric_alarm" "dead_letters_alarm" {
  alarm_name = "${var.name}-DeadLettersAlarm"
  alarm_description = join(" ", [
    "A message failed 5 times (by the function, by throttling, or as a recursive loop), an",
    "event failed 3 times, or SNS or EventBridge could not deliver one. Harm: a request of",
    "CloudFormation waits for a redrive, drains wait for the next sweep",
    "(${var.sweep_interval_minutes} minutes). Run: `aws sqs receive-message --queue-url",
    "${aws_sqs_queue.dead_letter_queue.url} --max-number-of-messages 10`",
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

# One log line for each event says which of these it is and what harm it does
# (drainer/attention.py). The alarm ends a minute after the event, so that the next event notifies
# again.
resource "aws_cloudwatch_metric_alarm" "attention_alarm" {
  alarm_name = "${var.name}-AttentionAlarm"
  alarm_description = join(" ", [
    "A drain passed its deadline, reached its limit of hops or has lasted for",
    "${var.long_drain_alarm_minutes} minutes, a pass crashed, a message came late, a request of",
    "CloudFormation timed out or got no response, or a call for a Spot interruption was",
    "denied. Harm: tasks can be killed, a stack operation can fail, or an instance stays and",
    "costs money. Run: `aws logs filter-log-events --log-group-name ${aws_cloudwatch_log_group.log_group.name}",
    "--filter-pattern attention`",
  ])
  namespace           = "Drainer"
  metric_name         = "Attention"
  dimensions          = { service = var.name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.notify_alarms ? [var.alarm_topic_arn] : null
}

# A single throttled look or lost message raises no alarm. Fifteen minutes mean a wrong name, a
# missing permission or a queue that is not read. Three of four periods: two sweeps five minutes
# apart can fall into one period, and none into the next. Lambda counts a partial batch response as a
# success, so function_errors_alarm does not show these.
resource "aws_cloudwatch_metric_alarm" "impaired_alarm" {
  alarm_name = "${var.name}-ImpairedAlarm"
  alarm_description = join(" ", [
    "In 15 of the last 20 minutes reads or calls of AWS failed (throttled, access denied,",
    "cluster not found), chains of re-invocations were lost, or notifications waited in their",
    "queue. Harm: drains take longer, and a hook that gets no heartbeat applies its default",
    "result. Run: `aws logs filter-log-events --log-group-name ${aws_cloudwatch_log_group.log_group.name} --filter-pattern",
    "impaired`",
  ])
  namespace           = "Drainer"
  metric_name         = "Impaired"
  dimensions          = { service = var.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 4
  datapoints_to_alarm = 3
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.notify_alarms ? [var.alarm_topic_arn] : null
}
