"""Elastic Load Balancing's operations on target groups, in AWS's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.paging import page
from drainer.simulation.records import ApiError

if TYPE_CHECKING:
    from drainer.simulation.services.elb.target_groups import LoadBalancing, Target, TargetGroup

REASONS = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
    "unused": ("Target.NotRegistered", "Target is not registered to the target group"),
}


class LoadBalancingApi:
    """One method for each operation; each takes and returns what AWS would."""

    def __init__(self, balancing: LoadBalancing) -> None:
        self._balancing = balancing

    def describe_target_groups(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List target groups, all or by ARN, name or load balancer."""
        groups = [*self._balancing.target_groups.values()]
        if parameters.get("TargetGroupArns"):
            groups = [self._group(arn) for arn in parameters["TargetGroupArns"]]
        if parameters.get("Names"):
            groups = [group for group in groups if group.name in parameters["Names"]]
            if not groups:
                raise _group_not_found()
        if parameters.get("LoadBalancerArn"):
            wanted = parameters["LoadBalancerArn"]
            groups = [group for group in groups if wanted in group.load_balancer_arns]
        groups, token = page(
            groups,
            token=parameters.get("Marker"),
            size=min(parameters.get("PageSize") or 400, 400),
            invalid=ApiError("ValidationError", "The marker is not valid"),
        )
        answer: dict[str, Any] = {"TargetGroups": [_describe(group) for group in groups]}
        return {**answer, "NextMarker": token} if token else answer

    def describe_target_group_attributes(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Tell the deregistration delay."""
        group = self._group(parameters["TargetGroupArn"])
        delay = f"{group.deregistration_delay_seconds:.0f}"
        return {
            "Attributes": [{"Key": "deregistration_delay.timeout_seconds", "Value": delay}],
        }

    def register_targets(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Register targets from outside ECS."""
        group = self._group(parameters["TargetGroupArn"])
        for target in parameters["Targets"]:
            self._balancing.register(
                group, target["Id"], target.get("Port") or group.port, healthy_after_seconds=10.0
            )
        return {}

    def deregister_targets(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """
        Let targets drain.

        "If the specified target does not exist, the action returns successfully."
        https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html
        """
        group = self._group(parameters["TargetGroupArn"])
        for target in parameters["Targets"]:
            _check_family(group, target["Id"])
        for target in parameters["Targets"]:
            # "If you specified a port override when you registered a target, you must specify
            # both the target ID and the port when you deregister it." (same page)
            self._balancing.deregister(group, target["Id"], target.get("Port") or group.port)
        return {}

    def describe_target_health(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Tell the health of all targets, or of those asked for; unknown ones are unused."""
        group = self._group(parameters["TargetGroupArn"])
        if not parameters.get("Targets"):
            found = group.targets.values()
            return {"TargetHealthDescriptions": [_health(target) for target in found]}
        descriptions = []
        for asked in parameters["Targets"]:
            port = asked.get("Port") or group.port
            target = group.targets.get((asked["Id"], port))
            descriptions.append(_health(target) if target else _unused(asked["Id"], port))
        return {"TargetHealthDescriptions": descriptions}

    def _group(self, arn: str) -> TargetGroup:
        group = self._balancing.target_groups.get(arn)
        if group is None:
            raise _group_not_found()
        return group


def _check_family(group: TargetGroup, target_id: str) -> None:
    """
    Refuse an address that the group cannot have.

    "The specified target does not exist, is not in the same VPC as the target group, or has an
    unsupported instance type."
    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html
    """
    if group.target_type != "ip":
        return
    if (":" in target_id) != (group.ip_address_type == "ipv6"):
        message = f"The IP address '{target_id}' is not a valid {group.ip_address_type} address"
        raise ApiError("ValidationError", message)


def _group_not_found() -> ApiError:
    return ApiError("TargetGroupNotFound", "One or more target groups not found")


def _describe(group: TargetGroup) -> dict[str, Any]:
    return {
        "TargetGroupArn": group.arn,
        "TargetGroupName": group.name,
        "Protocol": "HTTP" if group.balancer == "application" else "TCP",
        "Port": group.port,
        "TargetType": group.target_type,
        "IpAddressType": group.ip_address_type,
        "LoadBalancerArns": group.load_balancer_arns,
    }


def _health(target: Target) -> dict[str, Any]:
    return _health_description(target.target_id, target.port, target.state)


def _unused(target_id: str, port: int) -> dict[str, Any]:
    return _health_description(target_id, port, "unused")


def _health_description(target_id: str, port: int, state: str) -> dict[str, Any]:
    health = {"State": state}
    if state in REASONS:
        health["Reason"], health["Description"] = REASONS[state]
    return {
        "Target": {"Id": target_id, "Port": port},
        "HealthCheckPort": str(port),
        "TargetHealth": health,
    }
