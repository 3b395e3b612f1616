"""The operations of instance refreshes, in AWS's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drainer.simulation.records import ApiError
from drainer.simulation.services.auto_scaling.instance_refresh import Preferences

if TYPE_CHECKING:
    from drainer.simulation.account import Account
    from drainer.simulation.services.auto_scaling.groups import AutoScaling
    from drainer.simulation.services.auto_scaling.instance_refresh import Refresh
    from drainer.simulation.services.auto_scaling.model import Group

# The simulation protects no instance and refreshes none in standby, so that it need not choose.
WITHOUT_EFFECT = {"ScaleInProtectedInstances", "StandbyInstances"}
KNOWN = {"MinHealthyPercentage", "MaxHealthyPercentage", "InstanceWarmup", "SkipMatching"}
# "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be
# greater than 100."
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_RefreshPreferences.html
DIFFERENCE_MAX = 100
MIN_HEALTHY_DEFAULT = 90


class RefreshApi:
    """One method for each operation; each takes and returns what AWS would."""

    _account: Account
    _scaling: AutoScaling

    def start_instance_refresh(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Begin to replace all instances of a group."""
        group = self._refreshed(parameters)
        template = parameters.get("DesiredConfiguration", {}).get("LaunchTemplate", {})
        refresh = self._scaling.refreshes.start(
            group,
            parameters.get("Strategy", "Rolling"),
            preferences_of(parameters.get("Preferences", {})),
            ":".join(template[key] for key in ("LaunchTemplateId", "Version") if key in template),
        )
        return {"InstanceRefreshId": refresh.refresh_id}

    def cancel_instance_refresh(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """End a refresh that is under way."""
        wait = parameters.get("WaitForTransitioningInstances", True)
        refresh = self._scaling.refreshes.cancel(self._refreshed(parameters), wait=wait)
        return {"InstanceRefreshId": refresh.refresh_id}

    def describe_instance_refreshes(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe a group's refreshes, the newest first."""
        group = self._refreshed(parameters)
        wanted = parameters.get("InstanceRefreshIds")
        found = [
            self._describe_refresh(one)
            for one in self._scaling.refreshes.of_group[group.name]
            if not wanted or one.refresh_id in wanted
        ]
        return {"InstanceRefreshes": found}

    def _refreshed(self, parameters: dict[str, Any]) -> Group:
        name = parameters["AutoScalingGroupName"]
        if name not in self._scaling.groups:
            raise ApiError("ValidationError", f"AutoScalingGroup name not found - {name}")
        return self._scaling.groups[name]

    def _describe_refresh(self, refresh: Refresh) -> dict[str, Any]:
        preferences: dict[str, Any] = {
            "MinHealthyPercentage": refresh.preferences.min_healthy_percent,
            "InstanceWarmup": int(refresh.preferences.warmup_seconds),
            "SkipMatching": refresh.preferences.skip_matching,
        }
        if refresh.preferences.max_healthy_percent is not None:
            preferences["MaxHealthyPercentage"] = refresh.preferences.max_healthy_percent
        described = {
            "InstanceRefreshId": refresh.refresh_id,
            "AutoScalingGroupName": refresh.group.name,
            "Status": refresh.status,
            "Strategy": refresh.strategy,
            "StartTime": refresh.started_at,
            "PercentageComplete": refresh.percentage(self._account.now),
            "InstancesToUpdate": len(refresh.old),
            "Preferences": preferences,
        }
        if refresh.reason:
            described["StatusReason"] = refresh.reason
        if refresh.ended_at is not None:
            described["EndTime"] = refresh.ended_at
        return described


def preferences_of(given: dict[str, Any]) -> Preferences:
    """
    Return what is asked for; the API's defaults, not those of CloudFormation.

    Raises:
        ApiError: AWS refuses it, or the simulation has no such thing.
    """
    unknown = sorted(set(given) - KNOWN - WITHOUT_EFFECT)
    if unknown:
        raise ApiError("ValidationError", f"the simulated account does not know {unknown[0]}")
    fewest, most = given.get("MinHealthyPercentage"), given.get("MaxHealthyPercentage")
    if most is not None and (fewest is None or most - fewest > DIFFERENCE_MAX):
        raise ApiError("ValidationError", "MaxHealthyPercentage does not fit MinHealthyPercentage")
    return Preferences(
        MIN_HEALTHY_DEFAULT if fewest is None else fewest,
        most,
        float(given.get("InstanceWarmup", 0)),
        bool(given.get("SkipMatching", False)),
    )
