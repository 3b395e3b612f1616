"""
Write the generated parts of README.md and docs/: state machine, bench, settings, permissions,
alarms, costs and the picture of a drain.

Each part comes from the code, the templates or a run, so that it cannot say something else; a test
fails where a page is stale, and `make docs` writes it again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drainer.cli import drain_picture
from drainer.cli.bench import results, tables
from drainer.cli.bench.idle import STOPS_A_DAY
from drainer.cli.bench.subjects import CDK, SHIPPED
from drainer.drain import may_leave
from drainer.drain.may_leave import Act
from drainer.lifecycle import rules
from drainer.lifecycle.rules import Step
from drainer.simulation.template import read_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from drainer.cli.bench.results import Results

ROOT = Path(__file__).resolve().parents[2]
BEGIN = re.compile(r"<!-- begin ([a-z-]+) \(make docs\) -->\n")
ACTS = {
    Act.LEAVE: "it may leave",
    Act.SET_DRAINING: "set `DRAINING`, wait",
    Act.WAIT: "wait",
}
STEPS = {
    Step.STOP: "stop",
    Step.COMPLETE: "answer the hook",
    Step.RE_INVOKE: "heartbeat when due, re-invoke",
}
# A Sid has letters only.
APOSTROPHES = {"hooks timeouts": "hook's timeouts", "queues settings": "queues' settings"}

# Settings that belong to a drain: the same word in the template, the environment and the metadata.
DRAIN_SETTINGS = {
    "Cluster": ("DRAINER_CLUSTERS", "cluster"),
    "DrainTimeoutSeconds": ("DRAINER_DRAIN_TIMEOUT_SECONDS", "drain_timeout_seconds"),
    "DeadlineResult": ("DRAINER_DEADLINE_RESULT", "deadline_result"),
    "StandaloneTasks": ("DRAINER_STANDALONE_TASKS", "standalone_tasks"),
    "StandaloneGraceSeconds": ("DRAINER_STANDALONE_GRACE_SECONDS", "standalone_grace_seconds"),
}


def diagram() -> str:
    """
    Return the state machine as a Mermaid diagram: what leads to a re-invocation, and what ends the
    drain.
    """
    lines = ["```mermaid", "stateDiagram-v2", "  direction LR", "  [*] --> looking: a notification"]
    lines.append('  state "a look every pass interval" as looking {')
    stays = [rule.phase for rule in may_leave.RULES if rule.act != Act.LEAVE]
    lines += [f"    [*] --> {phase}" for phase in stays]
    lines += ["    active --> draining", "    draining --> closing", "  }"]
    ends = [
        (str(rule.phase), rule.question, Step.COMPLETE)
        for rule in may_leave.RULES
        if rule.act == Act.LEAVE
    ]
    ends += [(str(rule.phase), rule.question, rule.step) for rule in rules.RULES if rule.phase]
    for phase, question, step in ends:
        lines.append(f"  looking --> {phase}: {question.rstrip('?')}")
        lines.append(f"  {phase} --> [*]: {STEPS[step]}")
    return "\n".join([*lines, "```"])


def instance_table() -> str:
    """Return the table of phases; the first question answered yes decides."""
    rows = ["| | question about the instance | phase | result |"]
    rows.append("|---|---|---|---|")
    for number, rule in enumerate(may_leave.RULES, start=1):
        rows.append(f"| {number} | {rule.question} | `{rule.phase}` | {ACTS[rule.act]} |")
    return "\n".join(rows)


def hook_table() -> str:
    """Return the table of what is owed to the hook; the first question answered yes decides."""
    rows = ["| | question about the hook | phase | step |", "|---|---|---|---|"]
    for number, rule in enumerate(rules.RULES, start=1):
        phase = f"`{rule.phase}`" if rule.phase else "the instance's"
        rows.append(f"| {number} | {rule.question} | {phase} | {STEPS[rule.step]} |")
    return "\n".join(rows)


def settings(infra: Path) -> str:
    """Return the settings of a drain as a table."""
    shared = read_template(infra / "drainer.yaml")["Parameters"]
    rows = ["| template parameter | environment | metadata key | default | meaning |"]
    rows.append("|---|---|---|---|---|")
    for name, (environment, key) in DRAIN_SETTINGS.items():
        in_drainer = name if name in shared else f"{name}s"
        parameter = shared[in_drainer]
        both = f"`{name}`" if in_drainer == name else f"`{in_drainer}`, `{name}`"
        rows.append(
            f"| {both} | `{environment}` | `{key}` | {_default(parameter)} | "
            f"{_sentence(parameter)} |"
        )
    return "\n".join(rows)


def parameters(template: Path, names: Callable[[str], bool]) -> str:
    """Return a template's parameters as a table."""
    rows = ["| parameter | default | meaning |", "|---|---|---|"]
    for name, parameter in read_template(template)["Parameters"].items():
        if names(name):
            rows.append(f"| `{name}` | {_default(parameter)} | {_sentence(parameter)} |")
    return "\n".join(rows)


def permissions(infra: Path) -> str:
    """Return what the function's role may do, and why, as a table."""
    role = read_template(infra / "drainer.yaml")["Resources"]["Role"]["Properties"]
    of_spot = [
        statement
        for resource in read_template(infra / "spot.yaml")["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy"
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]
    by_service: dict[str, list[str]] = defaultdict(list)
    statements = role["Policies"][0]["PolicyDocument"]["Statement"]
    for statement in [*statements, *of_spot]:
        plain = statement["Fn::If"][1] if "Fn::If" in statement else statement
        actions = plain["Action"] if isinstance(plain["Action"], list) else [plain["Action"]]
        reason = re.sub(r"(?<=[a-zA-Z])(?=[A-Z])", " ", plain["Sid"]).lower()
        for sid, words in APOSTROPHES.items():
            reason = reason.replace(sid, words)
        names = ", ".join(f"`{action.partition(':')[2]}`" for action in actions)
        by_service[actions[0].partition(":")[0]].append(f"{names}: {reason}")
    rows = ["| service | actions, and why |", "|---|---|"]
    rows += [f"| `{service}` | {'<br>'.join(lines)} |" for service, lines in by_service.items()]
    return "\n".join(rows)


def _default(parameter: dict[str, Any]) -> str:
    value = parameter.get("Default")
    return "" if value is None else f"`{value}`" if value != "" else "(empty)"


def _sentence(parameter: dict[str, Any]) -> str:
    return " ".join(parameter["Description"].split()).replace("|", "\\|")


def alarms(infra: Path) -> str:
    """Return the alarms as a table; each description says what happened, the harm and a command."""
    rows = ["| alarm | what happened | harm | run |", "|---|---|---|---|"]
    for file in ("drainer.yaml", "spot.yaml"):
        for name, resource in read_template(infra / file)["Resources"].items():
            if resource["Type"] == "AWS::CloudWatch::Alarm":
                text = resource["Properties"]["AlarmDescription"]
                text = text["Fn::Sub"] if isinstance(text, dict) else text
                happened, _, rest = " ".join(text.split()).partition(" Harm: ")
                harm, _, command = rest.partition(" Run: ")
                cells = (happened, harm[:1].upper() + harm[1:], command)
                whose = "" if file == "drainer.yaml" else f" of `infra/{file}`"
                rows.append(f"| `{name}`{whose} | {' | '.join(_defaults(file, infra, *cells))} |")
    return "\n".join(rows)


def _defaults(file: str, infra: Path, *texts: str) -> Iterator[str]:
    """Yield texts with the defaults of the parameters that they name."""
    parameters = read_template(infra / file)["Parameters"]
    own = {"AWS::StackName": "drainer" if file == "drainer.yaml" else "drainer-spot"}
    own |= {name: str(parameter.get("Default", name)) for name, parameter in parameters.items()}
    for text in texts:
        yield re.sub(r"\$\{([\w:]+)\}", lambda found: own.get(found[1], found[1]), text)


def costs(kept: Results) -> str:
    """Return what the drainer costs, by the latest run of the bench."""
    by_length = {
        (row.subject, row.length): row.dollars
        for row in kept.rows
        if (row.instances, row.tasks) == (1, 1)
    }
    minutes, hours = by_length[SHIPPED, "seven minutes"], by_length[SHIPPED, "two hours"]
    rows = [
        (f"US East (N. Virginia), `{kept.command}` of {kept.date}", "dollars"),
        ("---", "---:"),
        ("installed and idle, with all alarms, a month", f"{sum(kept.idle.values()):.2f}"),
        (f"{STOPS_A_DAY:,} tasks that stop each day, a month more", f"{kept.stops_cost:.2f}"),
        ("one drain of seven minutes", f"{minutes / 1_000:.5f}"),
        ("1,000 drains of seven minutes", f"{minutes:.2f}"),
        (
            "the same by a Lambda function that waits inside (aws-cdk's `InstanceDrainHook`)",
            f"{by_length[CDK, 'seven minutes']:.2f}",
        ),
        ("1,000 drains of two hours", f"{hours:.2f}"),
    ]
    return "\n".join(f"| {what} | {dollars} |" for what, dollars in rows)


def parts(root: Path) -> dict[str, str]:
    """Return the generated parts by their names."""
    infra = root / "infra"
    own = {name for pair in DRAIN_SETTINGS for name in (pair, f"{pair}s")}
    # As kept by the latest run: the bench takes minutes.
    kept = results.read(root / "docs" / "bench.json")
    return {
        "diagram": diagram(),
        "instance-table": instance_table(),
        "hook-table": hook_table(),
        "bench": tables.markdown(kept),
        "costs": costs(kept),
        "settings": settings(infra),
        "stack-parameters": parameters(infra / "drainer.yaml", lambda name: name not in own),
        "hook-parameters": parameters(infra / "attach.yaml", lambda name: name not in own),
        "spot-parameters": parameters(infra / "spot.yaml", lambda _: True),
        "permissions": permissions(infra),
        "alarms": alarms(infra),
    }


def pages(root: Path) -> list[Path]:
    """Return what people read: the README and the pages of docs/."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def named(text: str) -> list[str]:
    """Return the generated parts that a page has."""
    return BEGIN.findall(text)


def render(text: str, made: dict[str, str]) -> str:
    """Return a page's text with its generated parts written again."""
    for name in named(text):
        begin, end = f"<!-- begin {name} (make docs) -->", f"<!-- end {name} -->"
        if name not in made or end not in text:
            raise ValueError(f"a page has a part that is not generated, or has no end: {name}")
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n{made[name]}\n{end}{after}"
    return text


def main() -> None:
    """Write the generated parts of all pages again, and the picture of a drain."""
    made = parts(ROOT)
    for path in pages(ROOT):
        text = path.read_text(encoding="utf-8")
        path.write_text(render(text, made), encoding="utf-8")
    picture = drain_picture.draw(drain_picture.tell())
    (ROOT / "docs" / "drain.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
