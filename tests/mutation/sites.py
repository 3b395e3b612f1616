"""
Where a source file can be changed in one place, and what the change is.

The edits are made in the text, so that a mutant reads as a line before and after. Not mutated:
strings, annotations, decorators, docstrings and `if TYPE_CHECKING` (no test can tell them apart).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

# Each operator, and what it becomes: its boundary and its opposite, where there are two.
COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
}
SIGNS: dict[type[ast.operator], tuple[str, str]] = {ast.Add: ("+", "-"), ast.Sub: ("-", "+")}
# What can be deleted without leaving a name without a value.
STORED = (ast.Attribute, ast.Subscript)


@dataclass(frozen=True)
class Mutant:
    """
    One change of one file. `first` to `last` are the lines of the statement that it is in.
    """

    number: int
    path: str
    first: int
    last: int
    where: str  # the qualified name of the function or class around it; empty in the module
    in_function: bool  # in a function's body: nothing of it runs when the module is imported
    before: str
    after: str
    start: int  # the bytes that `new` replaces
    end: int
    new: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the mutant in the list of equivalents: it survives a move of the line."""
        return self.path, self.where, self.before, self.after

    def __str__(self) -> str:
        """The text of a report."""
        return f"{self.path}:{self.first}: {self.before} -> {self.after}"

    def applied(self, source: bytes) -> bytes:
        """The file with the change, and with as many lines as without it."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants(path: str, source: bytes) -> list[Mutant]:
    """
    Every mutant of a file, numbered from 1 in the order of the text.
    """
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    found: list[Mutant] = []
    for start, end, new, place in sorted(finder.edits):
        left = source.rfind(b"\n", 0, start) + 1
        right = source.find(b"\n", end) if b"\n" in source[end:] else len(source)
        before, after = (
            _line(source[left:right]),
            _line(source[left:start] + new.encode() + source[end:right]),
        )
        found.append(Mutant(len(found) + 1, path, *place, before, after, start, end, new))
    return found


def _line(text: bytes) -> str:
    """A piece of a file on one line, without a comment at its end."""
    return " ".join(re.sub(r"  # .*", "", text.decode()).split())


class _Finder(ast.NodeVisitor):
    """Collects the edits, each with the lines of its statement and the names around it."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.edits: set[tuple[int, int, str, tuple[int, int, str, bool]]] = set()
        self.names: list[str] = []
        self.lines = (0, 0)
        self.in_function = self.answers_yes_or_no = False
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    # -- where a node is, and what is written there instead

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def edit(self, start: int, end: int, new: str) -> None:
        old = self.source[start:end]
        if lost := old.count(b"\n") - new.count("\n"):
            # Later functions stay on their lines: by these they are found in the running program.
            new = new + "\n" * lost if new == "pass" else f"({new}" + "\n" * lost + ")"
        if old != new.encode():
            place = (*self.lines, ".".join(self.names), self.in_function)
            self.edits.add((start, end, new, place))

    def replace(self, node: ast.expr | ast.stmt, new: str) -> None:
        self.edit(self.start(node), self.end(node), new)

    def text(self, node: ast.expr) -> str:
        return self.source[self.start(node) : self.end(node)].decode()

    def operator(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Replace an operator between two operands; there may be brackets around these."""
        start = self.end(left)
        between = self.source[start : self.start(right)].decode()
        match = re.search(rf"(?<!\w){old}(?!\w)" if old[0].isalpha() else old, between)
        assert match is not None, f"no {old} in {between!r}"
        self.edit(start + len(between[: match.start()].encode()), start + match.end(), new)

    # -- statements

    def visit(self, node: ast.AST) -> None:
        """Remember which lines the statement has; of a block the lines of its head."""
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        body = getattr(node, "body", getattr(node, "cases", None))
        last = node.end_lineno or node.lineno
        if isinstance(body, list) and isinstance(body[0], ast.stmt):
            last = max(node.lineno, body[0].lineno - 1)
        before, self.lines = self.lines, (node.lineno, last)
        super().visit(node)
        self.lines = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.names.append(node.name)
        outside, self.in_function = self.in_function, False
        for one in node.body:
            self.visit(one)
        self.in_function = outside
        self.names.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.names.append(node.name)
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        outside = self.in_function, self.answers_yes_or_no
        returns = node.returns
        self.answers_yes_or_no = isinstance(returns, ast.Name) and returns.id == "bool"
        self.in_function = True
        for one in node.body:
            self.visit(one)
        self.in_function, self.answers_yes_or_no = outside
        self.names.pop()

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit(node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.delete_if_stored(node, [node.target])
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.delete_if_stored(node, node.targets)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.delete_if_stored(node, [node.target])
        for kind, (old, new) in SIGNS.items():
            if isinstance(node.op, kind):
                self.operator(node.target, node.value, re.escape(f"{old}="), f"{new}=")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        self.replace(node, "pass")

    def delete_if_stored(self, node: ast.stmt, targets: list[ast.expr]) -> None:
        if all(isinstance(target, STORED) for target in targets):
            self.replace(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if self.answers_yes_or_no and node.value is not None and _bare(node.value):
            self.replace(node.value, f"not ({self.text(node.value)})")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.force(node.test)
            self.generic_visit(node)

    # -- expressions

    def force(self, test: ast.expr) -> None:
        self.replace(test, "True")
        self.replace(test, "False")
        if _bare(test):
            self.replace(test, f"not ({self.text(test)})")

    def visit_While(self, node: ast.While) -> None:
        self.force(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.force(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.force(test)
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        if node.guard is not None:
            before, self.lines = self.lines, (node.guard.lineno, node.guard.end_lineno or 0)
            self.force(node.guard)
            self.visit(node.guard)
            self.lines = before
        for one in node.body:
            self.visit(one)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            old, others = COMPARISONS[type(operator)]
            for new in others:
                self.operator(left, right, old, new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.operator(left, right, old, new)
        for value in filter(_bare, node.values):
            self.replace(value, f"(not ({self.text(value)}))")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self.replace(node, self.text(node.operand))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for kind, (old, new) in SIGNS.items():
            if isinstance(node.op, kind):
                self.operator(node.left, node.right, re.escape(old), new)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        match node.value:
            case bool():
                self.replace(node, str(not node.value))
            case int() | float():
                for new in (node.value - 1, node.value + 1):
                    self.replace(node, str(new))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """What stands in an f-string has no place of its own before Python 3.12."""


def _bare(node: ast.expr) -> bool:
    """Whether negating this is a change that no other edit makes."""
    return not isinstance(node, ast.Compare | ast.BoolOp | ast.Constant) and not (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    )
