"""
Plain English in what a person reads: words that are not used, and the shapes of texts.

A reader knows ECS and Auto Scaling, not this project, and may not be a native speaker. To have
another kind of text judged, add a function to `SOURCES`.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from drainer.cli.readme import pages
from drainer.simulation.template import read_template
from tests.loops import some

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "drainer"
COMMAND_LINE = PACKAGE / "cli"
TEMPLATES = sorted((PROJECT / "infra").rglob("*.yaml"))
PRODUCTION = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in {"cli", "simulation"}
)
# What the library's decorators make commands of: their docstrings are the help.
COMMANDS = {"callback", "command"}

# A word, as a pattern, and what is said instead. Where a word is good English in another meaning
# ("copy the image", "note that", "entry point", "acts"), the pattern names the meaning that is not.
A = r"\b(?:a|an|the|its|his|their|each|every|no|one|another|earlier|late|old) "
INSTEAD = {
    r"\banew\b": "again",
    r"\bfor good\b": "permanently",
    r"\bhast[ey]\w*": "urgent, at once",
    r"\blest\b": "so that ... not",
    r"\bmend(?:s|ed|ing)?\b": "fix, correct",
    r"\bslips?\b": "typo, misspelled",
    r"\bthereof\b": "of it",
    r"\bwithal\b": "also",
    r"\bgo(?:es)? back on\b": "roll back",
    r"\bnobody's\b": "no ... is",
    r"\bnotice[sd]?\b": "notification; interruption for Spot",
    r"\berrands?\b": "request",
    r"\bkeepers?\b": "reactivation",
    r"\bmusters?\b": "target status",
    r"\bbooks?\b": "record store, table of requests",
    r"\bentr(?:y|ies)\b(?! point)": "record",
    rf"{A}notes?\b|\bnotes (?:of|on)\b": "instance progress",
    rf"{A}marks?\b|\bunmark\w*": "record, attribute",
    rf"{A}claims?\b (?:of|in) (?:a|the) (?:message|envelope)|\bthe claims\b": "fields",
    r"\bhints?\b": "wake-up",
    r"\bsights?\b|\bviews?\b|\bobservations?\b": "look",
    r"\bwitness(?:es)?\b": "unfinished tasks",
    r"\bexact look\b": "full task listing",
    r"\b(?:the|its) acts\b": "actions",
    r"\btroubles?\b": "failed call, error",
    r"\bundone\b": "retry",
    r"\brescu(?:e|es|ed|er|ers)\b": "interruption report",
    r"\bservants?\b": "controllers",
    r"\bresponders?\b": "response URL",
    r"\b(?:go(?:es)?|going|gone|went|sent) round\b": "re-invoke",
    rf"{A}copy\b|\bcopies\b": "duplicate",
    r"\brungs?\b|\bladders?\b": "rule, decision table",
    r"\bblind(?:ed|ly)?\b": "unseen",
    r"\bexhausted\b": "hop limit",
}
# What makes a sentence a riddle: a person for a program, or a clause where a noun would do.
RIDDLES = {
    r"\bnobody\b": "which call, pass or person does not",
    r"\bwhoever\b": "the caller, the reader, each principal",
    r"(?:^|[.:;] )(?:Who|Whom|Whose)\b(?![^.]*\?)": "the noun: the pass, the instance, the owner",
    r"\bargued with\b": "a throttled API needs a pause",
    r"\bnever a reason\b": "what happens, and what does not",
}
# The drainer is a program, and its reader was not there when it was written.
PERSONS = r"\b(?:we|us|our|ours)\b"
UNITS = r"\b(?:seconds|minutes|days|MB|percent|percentage|number of|most) ?\b"


class Text(NamedTuple):
    """
    What a person reads, and where it stands.
    """

    where: str
    text: str


def read_once(source: Callable[[], Iterator[Text]]) -> Callable[[], Iterator[Text]]:
    """
    Let a source be read once: several tests judge the same texts, and change none.
    """
    texts = cache(lambda: tuple(source()))
    return wraps(source)(lambda: iter(texts()))


def plain(text: str) -> str:
    """
    Return a text without what is quoted: code, addresses and names from other sources.
    """
    text = re.sub(r"```.*?```|<!--.*?-->", " ", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|https?://\S+|\$\{[^}]*\}", " ", text)


def spoken(name: str) -> str:
    """
    Return the words of a name in camel case.
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def documentation() -> Iterator[Text]:
    for path in pages(PROJECT):
        for number, line in enumerate(plain_lines(path), start=1):
            yield Text(f"{path.relative_to(PROJECT)}:{number}", line)


def plain_lines(path: Path) -> list[str]:
    """
    Return the lines of a file of Markdown, those of blocks of code left empty.
    """
    inside, lines = False, []
    for line in path.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        inside ^= fence
        lines.append("" if inside or fence else plain(line))
    return lines


def described(path: Path, *, sids: bool = False) -> Iterator[Text]:
    """
    Yield each Description and alarm of a template, and with `sids` the words of the Sids.
    """

    def found(node: Any, where: str) -> Iterator[Text]:
        if isinstance(node, dict):
            for key, value in node.items():
                text = value.get("Fn::Sub") if isinstance(value, dict) else value
                if key.endswith("Description") and isinstance(text, str):
                    yield Text(f"{where}.{key}", plain(text))
                elif key == "Sid" and sids:
                    yield Text(f"{where}.{key}", spoken(value))
                yield from found(value, f"{where}.{key}")
        elif isinstance(node, list):
            for one in node:
                yield from found(one, where)

    yield from found(read_template(path), path.name)


def templates() -> Iterator[Text]:
    for path in TEMPLATES:
        yield from described(path, sids=True)
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if line.strip().startswith("#"):
                yield Text(f"{path.name}:{number}", plain(line))


@read_once
def alarms() -> Iterator[Text]:
    for path in TEMPLATES:
        for one in described(path):
            if one.where.endswith(".AlarmDescription"):
                yield one


@read_once
def parameters() -> Iterator[Text]:
    for path in TEMPLATES:
        for name, parameter in read_template(path).get("Parameters", {}).items():
            yield Text(f"{path.name}: {name}", parameter["Description"])


def literals(path: Path) -> Iterator[Text]:
    """
    Yield the string literals of a module, what is put into them left out.
    """
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    inside = {
        id(part)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part is not node
    }
    quoted = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if id(node) in inside or id(node) in quoted:
            continue
        text = None
        if isinstance(node, ast.JoinedStr):
            parts = (one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
            text = "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        if text is not None and isinstance(node, ast.expr):
            yield Text(f"{path.relative_to(PROJECT)}:{node.lineno}", text)


def enumerations(path: Path) -> Iterator[Text]:
    """
    Yield the values of a module's enumerations: phases and steps are written to the log.
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        bases = [base.id for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]
        if not isinstance(node, ast.ClassDef) or "StrEnum" not in bases:
            continue
        for one in node.body:
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant):
                yield Text(f"{path.relative_to(PROJECT)}:{one.lineno}", str(one.value.value))


@read_once
def messages() -> Iterator[Text]:
    """
    Yield the texts that the function writes to its log, and the names of its metrics.
    """
    for path in PRODUCTION:
        yield from (one for one in literals(path) if " " in one.text)
        yield from enumerations(path)
    for one in literals(PACKAGE / "telemetry.py"):
        yield Text(one.where, spoken(one.text))


def command_line() -> Iterator[Text]:
    for path in sorted(COMMAND_LINE.rglob("*.py")):
        yield from (one for one in literals(path) if " " in one.text)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and COMMANDS & set(decorators(node)):
                text = ast.get_docstring(node) or ""
                yield Text(f"{path.relative_to(PROJECT)}:{node.lineno}", text)
    for line in (PROJECT / "Makefile").read_text().splitlines():
        name, _, text = line.partition(" ## ")
        if text:
            yield Text(f"Makefile: {name}", text)


def decorators(node: ast.FunctionDef) -> list[str]:
    calls = [one.func for one in node.decorator_list if isinstance(one, ast.Call)]
    return [one.attr for one in calls if isinstance(one, ast.Attribute)]


@read_once
def code() -> Iterator[Text]:
    """
    Yield the docstrings and comments of the program, what they quote left out.
    """
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for line, text in (*docstrings(source), *comments(source)):
            yield Text(f"{path.relative_to(PROJECT)}:{line}", re.sub(r'"[^"]*"', " ", plain(text)))


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def comments(source: str) -> Iterator[tuple[int, str]]:
    """
    Yield each comment with the line that it begins in; one of several lines is one text.
    """
    begun, end, words = 0, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != end + 1:
                if words:
                    yield begun, " ".join(words)
                begun, words = token.start[0], []
            end = token.start[0]
            words.append(token.string.lstrip("#: "))
    if words:
        yield begun, " ".join(words)


SOURCES = (documentation, templates, messages, command_line, code)


def unwanted(text: str, words: dict[str, str] = INSTEAD) -> list[str]:
    """
    Return each word of a text that another is said for, with that.
    """
    return [
        f"{match[0]!r}: say {instead}"
        for pattern, instead in words.items()
        if (match := re.search(pattern, text, re.IGNORECASE))
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_no_text_has_a_word_that_a_reader_would_have_to_look_up(
    source: Callable[[], Iterator[Text]],
) -> None:
    # Who is woken by an alarm does not search this project's code for what "a blind errand" is.
    texts = some(source())

    assert [f"{one.where}: {word}" for one in texts for word in unwanted(one.text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "The notice was lost.",
        "Until somebody mends it.",
        "It goes round.",
        "A copy of an old message.",
        "Written anew.",
        "The cluster's name has a slip in it.",
        "A note of the instance.",
        spoken("BlindPasses"),
        spoken("UnmarkItWhenItIsActiveAgain"),
    ],
)
def test_a_word_that_is_not_used_is_found(text: str) -> None:
    # The test above would be worth nothing if its patterns found no word.
    assert unwanted(plain(text)) != []


@pytest.mark.parametrize(
    "text",
    [
        "Copy the image to your own repository.",
        "Note that the entry point acts on it.",
        "A log message `trouble` is now `call failed`.",
        "https://docs.aws.amazon.com/spot-instance-termination-notices.html",
        "It would exhaust the quotas of Spot Fleet.",
        "The write claims the hop.",
    ],
)
def test_a_word_in_its_usual_meaning_may_be_used(text: str) -> None:
    # A rule that forbids good English is switched off by the first who meets it.
    assert unwanted(plain(text)) == []


def test_no_docstring_or_comment_is_a_riddle() -> None:
    # "A throttle is not to be argued with" tells nobody what the next line does.
    texts = some(code())

    assert [f"{one.where}: {word}" for one in texts for word in unwanted(one.text, RIDDLES)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Who does the work.",
        "The call fails. Whose hook it is cannot be told.",
        "The answer, which nobody reads.",
        "Doubt is never a reason to release.",
    ],
)
def test_a_riddle_is_found(text: str) -> None:
    assert unwanted(text, RIDDLES) != []


def test_docstrings_and_comments_are_read_whole() -> None:
    # A comment that is read line by line hides what begins in one and ends in the next.
    source = '"""\nOne.\n"""\n# Two\n# three.\nfour = 4  # five\n\n\ndef six():\n    "Seven."\n'

    assert [text for _, text in docstrings(source)] == ["One.", "Seven."]
    assert [*comments(source)] == [(4, "Two three. five")]


@pytest.mark.parametrize("source", [alarms, parameters, messages])
def test_no_sentence_is_glued_to_the_next(source: Callable[[], Iterator[Text]]) -> None:
    # Two sentences in one are read twice, and at night three times.
    assert [one for one in some(source()) if ";" in one.text] == []


@pytest.mark.parametrize("source", [alarms, parameters, messages])
def test_a_program_does_not_speak_of_itself_as_persons(
    source: Callable[[], Iterator[Text]],
) -> None:
    # "Not ours" says nothing to somebody who does not know who "we" are.
    found = [one for one in some(source()) if re.search(PERSONS, one.text, re.IGNORECASE)]

    assert found == []


def test_every_alarm_says_which_command_to_run() -> None:
    # tests/infra/test_alarms.py runs through the templates with alarms: each command must exist.
    for path in some(path for path in TEMPLATES if "AlarmDescription:" in path.read_text()):
        alarms_here = [one for one in alarms() if one.where.startswith(f"{path.name}.")]

        assert path.name in {"cluster.yaml", "drainer.yaml", "spot.yaml"}, (
            "tests/infra/test_alarms.py lacks it"
        )
        assert alarms_here != []
        assert [one for one in alarms_here if "Harm: " not in one.text] == []
        assert [one for one in alarms_here if "Run: " not in one.text] == []


def test_every_number_says_its_unit_to_the_reader() -> None:
    # The console shows the description beside a bare field.
    found = {
        f"{path.name}: {name}": parameter["Description"]
        for path in TEMPLATES
        for name, parameter in read_template(path).get("Parameters", {}).items()
        if parameter["Type"] == "Number" or "number" in parameter.get("ConstraintDescription", "")
    }

    assert len(found) > 20
    assert {name: text for name, text in found.items() if not is_measured(text)} == {}


def is_measured(text: str) -> bool:
    return re.search(UNITS, text, re.IGNORECASE) is not None


def test_a_description_without_a_unit_is_found() -> None:
    # The test above would be worth nothing if every text had a unit.
    assert not is_measured("Time from the lifecycle notification to the deadline, 60 to 172800.")


def test_the_name_of_a_log_message_is_fixed_and_short() -> None:
    # People filter by it: a value in it, or a sentence, could not be typed.
    tree = ast.parse((PACKAGE / "telemetry.py").read_text(encoding="utf-8"))
    levels = {"info", "warning", "error"}
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Attribute) and node.func.attr in levels)
            or (isinstance(node.func, ast.Name) and node.func.id == "log")
        )
    ]
    parts = [one for call in calls for one in ast.walk(call.args[0])]
    names = [one.value for one in parts if isinstance(one, ast.Constant) and one.value]

    assert len(names) > 10
    assert [name for name in names if not re.fullmatch(r"[a-z]+( [a-z]+){0,2}", str(name))] == []
