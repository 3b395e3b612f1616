# A cluster as a small company runs it: two zones, an Auto Scaling group, one load balancer with a
# host name for each service, a daemon, a scheduled task, and the drainer. A new image, or another
# change of the launch template, rolls the group, and each instance is drained first.

# ---------------------------------------------------------------- the drainer
module "drainer" {
  source = "../../modules/drainer"

  zip_file        = var.zip_file
  alarm_topic_arn = var.alarm_topic_arn
}

# A hook of its own, and no `initial_lifecycle_hook` of the group: Terraform applies that one when it
# creates the group and ignores each later change.
# https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/autoscaling_group
module "attach" {
  source = "../../modules/attach"

  topic_arn               = module.drainer.topic_arn
  auto_scaling_group_name = aws_autoscaling_group.instances.name
  cluster                 = aws_ecs_cluster.cluster.name
  drain_timeout_seconds   = var.drain_timeout_seconds
}

# ---------------------------------------------------------------- network
data "aws_availability_zones" "available" {
  state = "available"
}

resource "aws_vpc" "vpc" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

resource "aws_internet_gateway" "gateway" {
  vpc_id = aws_vpc.vpc.id
}

resource "aws_subnet" "public" {
  count = 2

  vpc_id                  = aws_vpc.vpc.id
  availability_zone       = data.aws_availability_zones.available.names[count.index]
  cidr_block              = cidrsubnet(aws_vpc.vpc.cidr_block, 4, count.index)
  map_public_ip_on_launch = true
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.vpc.id
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.gateway.id
}

resource "aws_route_table_association" "public" {
  count = 2

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Visitors to the load balancer."
  vpc_id      = aws_vpc.vpc.id
}

resource "aws_vpc_security_group_ingress_rule" "visitors" {
  for_each = toset(local.ports)

  security_group_id = aws_security_group.load_balancer.id
  description       = "Visitors."
  cidr_ipv4         = var.visitor_cidr
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_vpc_security_group_egress_rule" "to_tasks" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "Dynamic host ports of tasks."
  referenced_security_group_id = aws_security_group.instances.id
  ip_protocol                  = "tcp"
  from_port                    = 32768
  to_port                      = 65535
}

resource "aws_security_group" "instances" {
  name        = "${var.name}-instances"
  description = "The instances of the cluster."
  vpc_id      = aws_vpc.vpc.id
}

resource "aws_vpc_security_group_ingress_rule" "from_load_balancer" {
  security_group_id            = aws_security_group.instances.id
  description                  = "The load balancer, to the dynamic host ports of tasks."
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html
  from_port = 32768
  to_port   = 65535
}

resource "aws_vpc_security_group_egress_rule" "anywhere" {
  security_group_id = aws_security_group.instances.id
  description       = "ECS, container registries, and what the tasks call."
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

# ---------------------------------------------------------------- load balancer
locals {
  use_https = var.certificate_arn != ""
  ports     = local.use_https ? ["80", "443"] : ["80"]
  listener  = local.use_https ? one(aws_lb_listener.https[*].arn) : aws_lb_listener.http.arn
}

resource "aws_lb" "load_balancer" {
  name               = var.name
  load_balancer_type = "application"
  subnets            = aws_subnet.public[*].id
  security_groups    = [aws_security_group.load_balancer.id]

  depends_on = [aws_route.internet]
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.load_balancer.arn
  protocol          = "HTTP"
  port              = 80

  default_action {
    type = local.use_https ? "redirect" : "fixed-response"

    dynamic "redirect" {
      for_each = local.use_https ? [1] : []
      content {
        protocol    = "HTTPS"
        port        = "443"
        status_code = "HTTP_301"
      }
    }

    dynamic "fixed_response" {
      for_each = local.use_https ? [] : [1]
      content {
        content_type = "text/plain"
        message_body = "No service has this host name."
        status_code  = "404"
      }
    }
  }
}

resource "aws_lb_listener" "https" {
  count = local.use_https ? 1 : 0

  load_balancer_arn = aws_lb.load_balancer.arn
  protocol          = "HTTPS"
  port              = 443
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      message_body = "No service has this host name."
      status_code  = "404"
    }
  }
}

resource "aws_lb_target_group" "service" {
  for_each = var.services

  name        = "${var.name}-${each.key}"
  vpc_id      = aws_vpc.vpc.id
  target_type = "instance"
  protocol    = "HTTP"
  port        = 80
  # A request may last as long as this after its instance was set DRAINING.
  deregistration_delay = 300

  health_check {
    path                = "/"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener_rule" "service" {
  for_each = var.services

  listener_arn = local.listener

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.service[each.key].arn
  }

  condition {
    host_header {
      values = [each.value.host]
    }
  }
}

# ---------------------------------------------------------------- cluster and its group
resource "aws_ecs_cluster" "cluster" {
  name = var.name
}

data "aws_iam_policy_document" "assumed_by_instances" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "instances" {
  name_prefix        = "${var.name}-"
  description        = "What the ECS agent may do."
  assume_role_policy = data.aws_iam_policy_document.assumed_by_instances.json
}

data "aws_partition" "current" {}

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/instance_IAM_role.html
resource "aws_iam_role_policy_attachment" "instances" {
  role       = aws_iam_role.instances.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instances" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.instances.name
}

data "aws_ssm_parameter" "image" {
  name = var.image_parameter
}

resource "aws_launch_template" "instances" {
  name                   = var.name
  image_id               = data.aws_ssm_parameter.image.insecure_value
  instance_type          = var.instance_type
  vpc_security_group_ids = [aws_security_group.instances.id]
  user_data = base64encode(<<-EOT
    #!/bin/bash
    echo 'ECS_CLUSTER=${aws_ecs_cluster.cluster.name}' >> /etc/ecs/ecs.config
  EOT
  )

  iam_instance_profile {
    arn = aws_iam_instance_profile.instances.arn
  }

  # One hop keeps the instance's credentials from containers in bridge mode.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security-iam-roles.html
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

resource "aws_autoscaling_group" "instances" {
  name                = var.name
  vpc_zone_identifier = aws_subnet.public[*].id
  min_size            = 0
  max_size            = var.instance_count_max
  desired_capacity    = var.use_capacity_provider ? null : var.instance_count
  # Long enough for the agent to register.
  default_instance_warmup = 120

  # The number of the version, and not "$Latest": a new version is then a change of the group, which
  # starts the refresh below.
  launch_template {
    id      = aws_launch_template.instances.id
    version = aws_launch_template.instances.latest_version
  }

  # A replacement is launched before an instance is terminated.
  # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-maintenance-policy.html
  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 150
  }

  # `apply` starts the refresh and does not wait for it. To see it: `aws autoscaling
  # describe-instance-refreshes --auto-scaling-group-name ...`
  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage       = 100
      max_healthy_percentage       = 150
      skip_matching                = true
      scale_in_protected_instances = "Refresh"
    }
  }

  tag {
    key                 = "Name"
    value               = var.name
    propagate_at_launch = true
  }

  # ECS adds this tag to the group of a capacity provider; Terraform would remove it again.
  # https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/ecs_capacity_provider
  dynamic "tag" {
    for_each = var.use_capacity_provider ? [1] : []
    content {
      key                 = "AmazonECSManaged"
      value               = true
      propagate_at_launch = true
    }
  }

  # A group is deleted when its last instance has been drained and has ended.
  timeouts {
    delete = "60m"
  }

  # Without a route to the internet the agent could not register.
  depends_on = [
    aws_route.internet,
    aws_route_table_association.public,
    aws_iam_role_policy_attachment.instances,
    aws_vpc_security_group_egress_rule.anywhere,
  ]
}

# With its default, ECS managed instance draining, ECS would add a hook of its own, and an instance
# would wait for both.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/managed-instance-draining.html
resource "aws_ecs_capacity_provider" "instances" {
  count = var.use_capacity_provider ? 1 : 0

  name = "${var.name}-instances"

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.instances.arn
    managed_draining               = "DISABLED"
    managed_termination_protection = "DISABLED"

    managed_scaling {
      status          = "ENABLED"
      target_capacity = 100
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "instances" {
  count = var.use_capacity_provider ? 1 : 0

  cluster_name       = aws_ecs_cluster.cluster.name
  capacity_providers = aws_ecs_capacity_provider.instances[*].name
}

# ---------------------------------------------------------------- services
resource "aws_ecs_task_definition" "service" {
  for_each = var.services

  family                   = "${var.name}-${each.key}"
  network_mode             = "bridge"
  requires_compatibilities = ["EC2"]
  container_definitions = jsonencode([
    {
      name      = each.key
      image     = each.value.image
      essential = true
      memory    = each.value.memory
      # Host port 0 lets the agent choose one, so that several tasks fit on one instance.
      portMappings = [{ containerPort = each.value.port, hostPort = 0, protocol = "tcp" }]
      stopTimeout  = 30
    },
  ])
}

resource "aws_ecs_service" "service" {
  for_each = var.services

  name            = each.key
  cluster         = aws_ecs_cluster.cluster.id
  launch_type     = var.use_capacity_provider ? null : "EC2"
  task_definition = aws_ecs_task_definition.service[each.key].arn
  desired_count   = each.value.least
  # With a maximum of 100 as well a drain could never move a task.
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/container-instance-draining.html
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  dynamic "capacity_provider_strategy" {
    for_each = aws_ecs_capacity_provider.instances[*].name
    content {
      capacity_provider = capacity_provider_strategy.value
      weight            = 1
    }
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  load_balancer {
    container_name   = each.key
    container_port   = each.value.port
    target_group_arn = aws_lb_target_group.service[each.key].arn
  }

  ordered_placement_strategy {
    type  = "spread"
    field = "attribute:ecs.availability-zone"
  }

  ordered_placement_strategy {
    type  = "binpack"
    field = "memory"
  }

  # Target tracking sets it.
  lifecycle {
    ignore_changes = [desired_count]
  }

  depends_on = [
    aws_lb_listener_rule.service,
    aws_autoscaling_group.instances,
    aws_ecs_cluster_capacity_providers.instances,
  ]
}

resource "aws_appautoscaling_target" "service" {
  for_each = var.services

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.cluster.name}/${aws_ecs_service.service[each.key].name}"
  min_capacity       = each.value.least
  max_capacity       = each.value.most
}

resource "aws_appautoscaling_policy" "cpu" {
  for_each = var.services

  name               = "${var.name}-${each.key}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.service[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.service[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    target_value = 60

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_policy" "requests" {
  for_each = var.services

  name               = "${var.name}-${each.key}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.service[each.key].service_namespace
  scalable_dimension = aws_appautoscaling_target.service[each.key].scalable_dimension
  resource_id        = aws_appautoscaling_target.service[each.key].resource_id

  target_tracking_scaling_policy_configuration {
    # Requests per target and minute.
    target_value = 1000

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.load_balancer.arn_suffix}/${aws_lb_target_group.service[each.key].arn_suffix}"
    }
  }
}

# ---------------------------------------------------------------- daemon
resource "aws_ecs_task_definition" "daemon" {
  family                   = "${var.name}-daemon"
  network_mode             = "bridge"
  requires_compatibilities = ["EC2"]
  container_definitions = jsonencode([
    {
      name      = "daemon"
      image     = var.tool_image
      essential = true
      memory    = 16
      # A shell that is process 1 ignores SIGTERM unless it sets a trap.
      command = ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 5 & wait $!; done"]
    },
  ])
}

resource "aws_ecs_service" "daemon" {
  name                = "daemon"
  cluster             = aws_ecs_cluster.cluster.id
  launch_type         = "EC2"
  scheduling_strategy = "DAEMON"
  task_definition     = aws_ecs_task_definition.daemon.arn

  depends_on = [aws_autoscaling_group.instances]
}

# ---------------------------------------------------------------- scheduled task
# It belongs to no service, so that a drain waits until it has ended (standalone_tasks).
resource "aws_ecs_task_definition" "job" {
  family                   = "${var.name}-job"
  network_mode             = "bridge"
  requires_compatibilities = ["EC2"]
  container_definitions = jsonencode([
    {
      name      = "job"
      image     = var.tool_image
      essential = true
      memory    = 16
      command   = ["sleep", "60"]
    },
  ])
}

resource "aws_cloudwatch_event_rule" "job" {
  name                = "${var.name}-job"
  description         = "Runs the scheduled task."
  schedule_expression = var.job_schedule
}

resource "aws_cloudwatch_event_target" "job" {
  rule      = aws_cloudwatch_event_rule.job.name
  target_id = "job"
  arn       = aws_ecs_cluster.cluster.arn
  role_arn  = aws_iam_role.scheduler.arn
  input = jsonencode({
    containerOverrides = [{ name = "job", command = ["sleep", "200"] }]
  })

  ecs_target {
    launch_type         = "EC2"
    task_count          = 1
    task_definition_arn = aws_ecs_task_definition.job.arn
  }
}

data "aws_iam_policy_document" "assumed_by_events" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name_prefix        = "${var.name}-"
  description        = "Runs the scheduled task."
  assume_role_policy = data.aws_iam_policy_document.assumed_by_events.json
}

# The task has no role of its own, so that iam:PassRole is not needed.
data "aws_iam_policy_document" "scheduler" {
  statement {
    sid       = "RunTheScheduledTask"
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.job.arn_without_revision}:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [aws_ecs_cluster.cluster.arn]
    }
  }
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "run-the-scheduled-task"
  role   = aws_iam_role.scheduler.name
  policy = data.aws_iam_policy_document.scheduler.json
}

# ---------------------------------------------------------------- a service that does not start
# ECS sends this event when tasks of a service fail to start again and again. The topic's policy must
# let events.amazonaws.com publish.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_events.html
resource "aws_cloudwatch_event_rule" "restarts" {
  name        = "${var.name}-restarts"
  description = "Services of this cluster whose tasks do not start."
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Service Action"]
    detail = {
      eventName  = ["SERVICE_TASK_START_IMPAIRED"]
      clusterArn = [aws_ecs_cluster.cluster.arn]
    }
  })
}

resource "aws_cloudwatch_event_target" "restarts" {
  count = var.alarm_topic_arn != "" ? 1 : 0

  rule      = aws_cloudwatch_event_rule.restarts.name
  target_id = "alarms"
  arn       = var.alarm_topic_arn
}
