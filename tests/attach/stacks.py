"""
CloudFormation as `drainer attach` meets it: stacks, change sets, and what may go wrong with them.
"""

from __future__ import annotations

from typing import Any

from tests.doctor.border import GoneError
from tests.doctor.healthy import Healthy
from tests.doctor.names import GROUP, NOW, arn

Given = dict[str, Any]
WRITES = frozenset(
    f"cloudformation:{name}"
    for name in ("CreateChangeSet", "ExecuteChangeSet", "DeleteChangeSet", "DeleteStack")
)
CHANGES = (
    ("Add", "NotificationRole", "AWS::IAM::Role"),
    ("Add", "TerminatingHook", "AWS::AutoScaling::LifecycleHook"),
)


class Account(Healthy):
    """
    The healthy account, in which stacks can be made; each operation takes a poll.

    Attributes:
        stacks: Parameters of each stack by its name.
        statuses: What DescribeStacks says of each, the first one once.
        refused: Why a change set fails; empty where it does not.
        fails: Whether a stack operation is rolled back.
    """

    def __init__(self, *, attached: bool = True) -> None:
        super().__init__()
        own = {"AutoScalingGroupName": GROUP, "HeartbeatTimeoutSeconds": "1800"}
        self.stacks: dict[str, dict[str, str]] = {"drainer-payments": own} if attached else {}
        if not attached:
            self.imports.clear()
            self.hooks[GROUP].clear()
        self.statuses: dict[str, list[str]] = {}
        self.change_sets: dict[str, Given] = {}
        self.refused = ""
        self.fails = False
        self.written: list[str] = []
        self.border.writes = WRITES
        self.border.answers |= {
            "cloudformation.describe_stacks": self._describe,
            "cloudformation.create_change_set": self._create,
            "cloudformation.describe_change_set": self._change_set,
            "cloudformation.execute_change_set": self._execute,
            "cloudformation.delete_change_set": self._discard,
            "cloudformation.delete_stack": self._delete,
            "cloudformation.describe_stack_events": self._events,
        }

    def _describe(self, given: Given) -> Given:
        name = given["StackName"].removeprefix("id:")
        statuses = self.statuses.get(name, ["CREATE_COMPLETE"])
        # By its name a deleted stack is not found.
        deleted = "DELETE_COMPLETE" in statuses and name == given["StackName"]
        if deleted or (name not in self.stacks and name not in self.statuses):
            raise GoneError("ValidationError")
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        stack = {
            "StackName": name,
            "StackId": f"id:{name}",
            "CreationTime": NOW,
            "StackStatus": status,
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in self.stacks.get(name, {}).items()
            ],
        }
        return {"Stacks": [stack]}

    def _create(self, given: Given) -> Given:
        self.written.append(f"create change set: {given['ChangeSetType']} {given['StackName']}")
        id_ = arn("cloudformation", "changeSet/1")
        self.change_sets[id_] = given
        if given["ChangeSetType"] == "CREATE":
            self.statuses[given["StackName"]] = ["REVIEW_IN_PROGRESS"]
        return {"Id": id_}

    def _change_set(self, given: Given) -> Given:
        if self.refused:
            return {"Status": "FAILED", "StatusReason": self.refused}
        polls = len(self.border.asked["cloudformation.describe_change_set"])
        changes = [
            {
                "Type": "Resource",
                "ResourceChange": {
                    "Action": action,
                    "LogicalResourceId": id_,
                    "ResourceType": kind,
                },
            }
            for action, id_, kind in CHANGES
        ]
        status = "CREATE_IN_PROGRESS" if polls == 1 else "CREATE_COMPLETE"
        return {"Status": status, "Changes": changes}

    def _execute(self, given: Given) -> Given:
        made = self.change_sets[given["ChangeSetName"]]
        name, kind = made["StackName"], made["ChangeSetType"]
        self.written.append(f"execute: {name}")
        done = "ROLLBACK_COMPLETE" if self.fails else f"{kind}_COMPLETE"
        self.statuses[name] = [f"{kind}_IN_PROGRESS", done]
        old = self.stacks.get(name, {})
        self.stacks[name] = {
            one["ParameterKey"]: one.get("ParameterValue", old.get(one["ParameterKey"], ""))
            for one in made["Parameters"]
        }
        return {}

    def _discard(self, given: Given) -> Given:
        self.written.append("delete change set")
        return {}

    def _delete(self, given: Given) -> Given:
        name = given["StackName"]
        self.written.append(f"delete: {name}")
        last = "DELETE_FAILED" if self.fails else "DELETE_COMPLETE"
        self.statuses[name] = ["DELETE_IN_PROGRESS", last]
        return {}

    def _events(self, _: Given) -> Given:
        def event(logical_id: str, status: str, reason: str) -> Given:
            return {
                "StackId": "id",
                "EventId": logical_id,
                "StackName": "drainer",
                "Timestamp": NOW,
                "LogicalResourceId": logical_id,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }

        # The newest first.
        return {
            "StackEvents": [
                event("drainer-payments", "ROLLBACK_IN_PROGRESS", "The following failed"),
                event("NotificationRole", "CREATE_FAILED", "Resource creation cancelled"),
                event("TerminatingHook", "CREATE_FAILED", "Access denied"),
            ]
        }
