# Each run is one module with some settings. The provider is a stand-in: see mocks.tfmock.hcl.

mock_provider "aws" {
  source = "./mocks"
}

variables {
  zip_file                = "drainer.zip"
  topic_arn               = "arn:aws:sns:eu-west-1:111122223333:drainer-Topic"
  function_arn            = "arn:aws:lambda:eu-west-1:111122223333:function:drainer-Function"
  role_name               = "drainer-Role"
  auto_scaling_group_name = "web"
}

# ---------------------------------------------------------------- drainer
run "defaults" {
  module {
    source = "../../modules/drainer"
  }

  assert {
    condition     = aws_sqs_queue.wait_queue.delay_seconds == 15
    error_message = "An envelope waits for the pass interval."
  }

  assert {
    condition     = aws_sqs_queue.notice_queue.delay_seconds == 0
    error_message = "A notification does not wait."
  }

  # Otherwise Lambda drops the chain after about 16 passes, and the instance hangs.
  assert {
    condition     = aws_lambda_function_recursion_config.function[0].recursive_loop == "Allow"
    error_message = "Loop detection is off."
  }

  assert {
    condition = alltrue([
      for one in jsondecode(aws_iam_role_policy.role.policy).Statement : one.Sid != "PublishToTheEncryptedTopic"
    ])
    error_message = "Without a key there is no permission for one."
  }

  assert {
    condition = [
      for one in jsondecode(aws_iam_role_policy.role.policy).Statement : one.Resource if one.Sid == "WriteTheLog"
    ] == ["arn:aws:logs:eu-west-1:111122223333:log-group:mock:*"]
    error_message = "The function may write to the streams of its log group."
  }

  assert {
    condition = jsondecode(aws_sns_topic_subscription.envelope_subscription.filter_policy) == {
      drainer = ["re-invocation"]
      quiet   = [{ exists = false }]
    }
    error_message = "A quiet envelope takes its own queue."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.not_invoked_alarm.alarm_actions == null
    error_message = "Without a topic alarms show in the console only."
  }

  assert {
    condition     = aws_lambda_function.function.environment[0].variables.DRAINER_USE_FAST_PATH == "true"
    error_message = "The program reads \"true\"."
  }
}

run "without_the_fast_path" {
  module {
    source = "../../modules/drainer"
  }

  variables {
    use_fast_path = false
  }

  assert {
    condition     = length(aws_sqs_queue.quiet_queue) + length(aws_cloudwatch_event_rule.fast_path) == 0
    error_message = "No queue and no rule of the fast path is left."
  }

  assert {
    condition = jsondecode(aws_sns_topic_subscription.envelope_subscription.filter_policy) == {
      drainer = ["re-invocation"]
    }
    error_message = "Quiet envelopes take the wait queue."
  }

  assert {
    condition = [
      for one in jsondecode(aws_iam_role_policy.role.policy).Statement : length(one.Resource) if one.Sid == "TakeMessagesFromTheQueues"
    ] == [2]
    error_message = "Two queues are read."
  }
}

run "with_a_key_a_boundary_and_an_alarm_topic" {
  module {
    source = "../../modules/drainer"
  }

  variables {
    topic_kms_key_arn        = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary"
    alarm_topic_arn          = "arn:aws:sns:eu-west-1:111122223333:alarms"
  }

  assert {
    condition     = aws_sns_topic.topic.kms_master_key_id == "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
    error_message = "The topic has the key."
  }

  assert {
    condition = [
      for one in jsondecode(aws_iam_role_policy.role.policy).Statement : one.Resource if one.Sid == "PublishToTheEncryptedTopic"
    ] == ["arn:aws:kms:eu-west-1:111122223333:key/1234abcd"]
    error_message = "The function may use the key."
  }

  assert {
    condition     = aws_iam_role.role.permissions_boundary == "arn:aws:iam::111122223333:policy/boundary"
    error_message = "The role has its boundary."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.attention_alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:111122223333:alarms"])
    error_message = "Alarms notify the topic."
  }
}

run "in_a_partition_without_loop_detection" {
  module {
    source = "../../modules/drainer"
  }

  override_data {
    target = data.aws_partition.current
    values = { partition = "aws-cn" }
  }

  assert {
    condition     = length(aws_lambda_function_recursion_config.function) == 0
    error_message = "Lambda would reject the setting there."
  }

  assert {
    condition     = strcontains(aws_sns_topic_policy.topic_policy.policy, "arn:aws-cn:iam::111122223333:root")
    error_message = "ARNs are of the partition."
  }
}

run "settings_out_of_bounds" {
  command = plan

  module {
    source = "../../modules/drainer"
  }

  variables {
    pass_interval_seconds = 301
    deadline_result       = "RETAIN"
    clusters              = "one, two"
    log_retention_days    = 31
    alarm_topic_arn       = "alarms"
  }

  expect_failures = [
    var.pass_interval_seconds,
    var.deadline_result,
    var.clusters,
    var.log_retention_days,
    var.alarm_topic_arn,
  ]
}

# ---------------------------------------------------------------- attach
run "a_hook_without_settings" {
  module {
    source = "../../modules/attach"
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.terminating_hook.notification_metadata == null
    error_message = "Auto Scaling takes no empty text."
  }

  assert {
    condition     = aws_autoscaling_lifecycle_hook.terminating_hook.notification_target_arn == var.topic_arn
    error_message = "The hook notifies the topic."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.notification_role.policy).Statement[*].Sid == ["NotifyTheDrainer"]
    error_message = "The role may only notify."
  }
}

run "a_hook_with_settings" {
  module {
    source = "../../modules/attach"
  }

  variables {
    cluster                  = "payments"
    drain_timeout_seconds    = 3600
    deadline_result          = "ABANDON"
    standalone_tasks         = "stop"
    standalone_grace_seconds = 0
  }

  assert {
    condition = jsondecode(aws_autoscaling_lifecycle_hook.terminating_hook.notification_metadata) == {
      cluster                  = "payments"
      drain_timeout_seconds    = 3600
      deadline_result          = "ABANDON"
      standalone_tasks         = "stop"
      standalone_grace_seconds = 0
    }
    error_message = "The metadata has a key for each setting, and numbers as numbers."
  }
}

run "settings_of_a_hook_out_of_bounds" {
  command = plan

  module {
    source = "../../modules/attach"
  }

  variables {
    auto_scaling_group_name   = ""
    drain_timeout_seconds     = 59
    heartbeat_timeout_seconds = 7201
    deadline_result           = "RETAIN"
  }

  expect_failures = [
    var.auto_scaling_group_name,
    var.drain_timeout_seconds,
    var.heartbeat_timeout_seconds,
    var.deadline_result,
  ]
}

# ---------------------------------------------------------------- spot
run "interruptions_only" {
  module {
    source = "../../modules/spot"
  }

  variables {
    serve_fargate_spot = false
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.interruptions) == 1
    error_message = "EC2 Spot is served."
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.fargate_spot) + length(aws_cloudwatch_event_rule.rebalance_recommendations) == 0
    error_message = "Fargate Spot is not served, and recommendations are not by default."
  }

  assert {
    condition     = length(jsondecode(aws_sqs_queue_policy.queue_policy[0].policy).Statement[0].Condition.ArnEquals["aws:SourceArn"]) == 1
    error_message = "The queue admits one rule."
  }
}

run "no_spot_at_all" {
  module {
    source = "../../modules/spot"
  }

  variables {
    serve_interruptions = false
    serve_fargate_spot  = false
  }

  assert {
    condition     = length(aws_sqs_queue.queue) + length(aws_lambda_event_source_mapping.event_source_mapping) + length(aws_iam_role_policy.policy) == 0
    error_message = "Nothing is read, and nothing is permitted."
  }
}
