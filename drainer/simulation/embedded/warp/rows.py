"""
Let ministack tell of stacks and their resources what CloudFormation tells while it is at work.

ministack lists a resource only once it is there, and as complete while it is changed or deleted; it
cleans up after an update under the status of the update; and it lists what a rollback is about to
delete. On AWS a row has the status of its latest event, and a rollback ends with the former ids.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_StackResourceSummary.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

import importlib
from typing import Any

CLEANING = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
UPDATING = "UPDATE_IN_PROGRESS"
PACKAGE = "ministack.services.cloudformation"


def install() -> None:
    """Put statuses and rows in front of what ministack tells."""
    service = importlib.import_module(PACKAGE)
    handlers = importlib.import_module(f"{PACKAGE}.handlers")
    stacks = importlib.import_module(f"{PACKAGE}.stacks")
    listed, deleted = handlers._list_stack_resources, stacks._delete_resource

    def with_events(params: dict[str, Any]) -> Any:
        stack = handlers._resolve_stack(handlers._p(params, "StackName"))
        if not stack:
            return listed(params)
        known = stack.get("_resources", {})
        events = service._stack_events.get(stack["StackId"], [])
        stack["_resources"] = rows(known, events, goes_back="ROLLBACK" in stack["StackStatus"])
        try:
            return listed(params)
        finally:
            stack["_resources"] = known

    def in_the_clean_up(
        kind: str, physical_id: str, properties: Any, stack_name: str, *more: Any
    ) -> Any:
        stack = service._stacks.get(stack_name)
        if stack and stack["StackStatus"] == UPDATING:
            stack["StackStatus"] = CLEANING
        return deleted(kind, physical_id, properties, stack_name, *more)

    vars(stacks)["_delete_resource"] = in_the_clean_up
    for table in [value for value in vars(handlers).values() if isinstance(value, dict)]:
        for name in [name for name, value in table.items() if value is listed]:
            table[name] = with_events


def rows(known: dict[str, Any], events: list[dict[str, Any]], *, goes_back: bool) -> dict[str, Any]:
    """Return the resources by logical id, each with the status of its latest event."""
    found: dict[str, Any] = {}
    former: dict[str, Any] = {}
    for event in events:
        name, physical_id = event["LogicalResourceId"], event["PhysicalResourceId"]
        status = event["ResourceStatus"]
        if event["ResourceType"] == "AWS::CloudFormation::Stack":
            if status == UPDATING:
                former = dict(found)
            continue
        row = found.get(name, {"PhysicalResourceId": ""})
        replaced = row["PhysicalResourceId"] not in ("", physical_id)
        if status.startswith("DELETE_") and replaced:
            continue  # the row is of what is there now
        if status == "DELETE_COMPLETE":
            found.pop(name, None)
            continue
        more = {key: event[key] for key in ("ResourceType", "ResourceStatus", "Timestamp")}
        if name not in former:
            # What an update adds is created, which ministack calls an update, too.
            more["ResourceStatus"] = status.replace("UPDATE_", "CREATE_")
        found[name] = {**known.get(name, {}), **row, **more}
        found[name]["PhysicalResourceId"] = physical_id or row["PhysicalResourceId"]
    for name, row in former.items():
        if goes_back and name in found and found[name] != row:
            back = {"PhysicalResourceId": row["PhysicalResourceId"]}
            found[name] = {**found[name], **back, "ResourceStatus": "UPDATE_COMPLETE"}
    return found
