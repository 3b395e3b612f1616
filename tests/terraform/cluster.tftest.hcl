# The example cluster. The provider is a stand-in: see mocks.tfmock.hcl.

mock_provider "aws" {
  source = "./mocks"
}

variables {
  zip_file = "drainer.zip"
}

run "a_cluster" {
  assert {
    condition     = length(aws_subnet.public) == 2 && aws_subnet.public[0].availability_zone != aws_subnet.public[1].availability_zone
    error_message = "There are two zones."
  }

  # Without it an apply would change the template and leave the instances as they are.
  assert {
    condition     = aws_autoscaling_group.instances.instance_refresh[0].strategy == "Rolling"
    error_message = "A change of the launch template rolls the group."
  }

  assert {
    condition     = aws_autoscaling_group.instances.launch_template[0].version == tostring(aws_launch_template.instances.latest_version)
    error_message = "The group names a version: \"$Latest\" would start no refresh."
  }

  assert {
    condition     = aws_autoscaling_group.instances.instance_maintenance_policy[0].min_healthy_percentage == 100
    error_message = "A replacement comes first."
  }

  assert {
    condition     = module.attach.hook_name == "drainer"
    error_message = "The group has a hook."
  }

  assert {
    condition = {
      for name, rule in aws_lb_listener_rule.service : name => flatten([for one in rule.condition : [for host in one.host_header : host.values]])
    } == { web = ["www.example.com"], api = ["api.example.com"] }
    error_message = "Each service has its host name."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "fixed-response"
    error_message = "Without a certificate the services are behind HTTP."
  }

  # A deployment or a drain needs room for a second task.
  assert {
    condition     = alltrue([for one in aws_ecs_service.service : one.deployment_minimum_healthy_percent == 100 && one.deployment_maximum_percent == 200])
    error_message = "A drain can move each task."
  }

  assert {
    condition     = alltrue([for one in aws_ecs_service.service : one.deployment_circuit_breaker[0].rollback])
    error_message = "A deployment that fails goes back."
  }

  assert {
    condition = toset([
      for one in concat(values(aws_appautoscaling_policy.cpu), values(aws_appautoscaling_policy.requests)) :
      one.target_tracking_scaling_policy_configuration[0].predefined_metric_specification[0].predefined_metric_type
    ]) == toset(["ECSServiceAverageCPUUtilization", "ALBRequestCountPerTarget"])
    error_message = "Services follow CPU and requests."
  }

  assert {
    condition     = aws_ecs_service.daemon.scheduling_strategy == "DAEMON"
    error_message = "There is a daemon."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_target.job.input).containerOverrides[0].name == jsondecode(aws_ecs_task_definition.job.container_definitions)[0].name
    error_message = "The scheduled task overrides its own container."
  }
}

run "a_cluster_with_a_certificate" {
  variables {
    certificate_arn = "arn:aws:acm:eu-west-1:111122223333:certificate/1234abcd"
  }

  assert {
    condition     = aws_lb_listener.https[0].certificate_arn == var.certificate_arn
    error_message = "HTTPS has the certificate."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "redirect"
    error_message = "HTTP leads to HTTPS."
  }

  assert {
    condition     = alltrue([for one in aws_lb_listener_rule.service : one.listener_arn == aws_lb_listener.https[0].arn])
    error_message = "The services are behind HTTPS."
  }
}

run "a_cluster_with_a_capacity_provider" {
  variables {
    use_capacity_provider = true
  }

  # Otherwise ECS adds a hook of its own.
  assert {
    condition     = aws_ecs_capacity_provider.instances[0].auto_scaling_group_provider[0].managed_draining == "DISABLED"
    error_message = "The drainer alone drains."
  }

  assert {
    condition     = alltrue([for one in aws_ecs_service.service : length(one.capacity_provider_strategy) == 1])
    error_message = "The services use the capacity provider."
  }
}
