"""
The dashboard and the saved queries: what they show exists.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from drainer import log_lines, telemetry
from drainer.lifecycle.rules import Step
from tests.loops import some

if TYPE_CHECKING:
    from tests.infra.conftest import Render

QUERIES = "AWS::Logs::QueryDefinition"
# Words of Logs Insights, and names that a query gives to its own results.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
WORDS = {
    *("SOURCE", "filter", "stats", "fields", "sort", "limit", "by", "as", "in", "not", "asc"),
    *("desc", "latest", "max", "count", "message", "timestamp"),
}


def strings(module: Any) -> set[str]:
    """Every string in a module's code: its metrics, messages and fields are among them."""
    nodes = ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
    found = (one.value for one in nodes if isinstance(one, ast.Constant))
    return {one for one in found if isinstance(one, str)}


LOGGED = strings(telemetry) | strings(log_lines)


def queries(render: Render) -> dict[str, str]:
    resources = dict(render("dashboard.yaml").resources(QUERIES))
    return {name: one["QueryString"] for name, one in resources.items()}


def widgets(render: Render) -> list[dict[str, Any]]:
    [(_, dashboard)] = render("dashboard.yaml").resources("AWS::CloudWatch::Dashboard")
    found: list[dict[str, Any]] = json.loads(dashboard["DashboardBody"])["widgets"]
    return found


def test_every_query_reads_messages_and_fields_that_the_function_logs(render: Render) -> None:
    # A renamed field makes a table of empty cells, at three in the morning.
    text = "\n".join(queries(render).values())
    messages = re.findall(r'message (?:= |in \[)("[^\]|]+")', text)
    assert set(re.findall(r'"([^"]+)"', " ".join(some(messages)))) <= LOGGED
    for query in some(queries(render).values()):
        own = set(re.findall(r" as (\w+)", query))
        bare = re.sub(r'"[^"]*"', "", query)
        for word in some(set(re.findall(r"[a-zA-Z_]\w*", bare)) - WORDS - own):
            assert word in LOGGED


def test_the_metrics_on_the_dashboard_are_the_functions(render: Render) -> None:
    shown = [one for widget in widgets(render) for one in widget["properties"].get("metrics", [])]
    ours = [one for one in shown if one[0] == "Drainer"]

    for namespace, metric, dimension, value, *_ in some(ours):
        assert (namespace, dimension, value) == ("Drainer", "service", "drainer")
        assert metric in LOGGED
    assert {tuple(one[:4]) for one in shown if one[0] != "Drainer"} == {
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", "drainer-DeadLetterQueue"),
        *(
            ("AWS/Lambda", metric, "FunctionName", "drainer-Function")
            for metric in ("Invocations", "Errors", "Throttles", "Duration")
        ),
    }


def test_the_first_widget_is_the_query_of_open_drains(render: Render) -> None:
    [logs] = [one for one in widgets(render) if one["type"] == "log"]
    joined = " ".join(queries(render)["OpenDrainsQuery"].split())

    assert logs["properties"]["query"] == f"SOURCE 'drainer-LogGroup' | {joined}"


@pytest.mark.parametrize("of", ["complete", "stop"])
def test_a_drain_that_has_ended_is_not_shown_as_open(render: Render, of: str) -> None:
    # Every instance of the last hours would stay on the list.
    assert f'"{of}"' in queries(render)["OpenDrainsQuery"].partition("filter last_step")[2]
    assert of in {one.value for one in Step}


def test_widgets_do_not_lie_on_each_other(render: Render) -> None:
    # "x ... valid values are 0 through 23", of 24 columns.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
    taken: set[tuple[int, int]] = set()
    for one in some(widgets(render)):
        cells = {
            (column, row)
            for column in range(one["x"], one["x"] + one["width"])
            for row in range(one["y"], one["y"] + one["height"])
        }
        assert not cells & taken
        assert max(column for column, _ in cells) < 24
        taken |= cells
