"""Small faults in Python and bash: each mutant is the whole text of a file with one fault."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# The original text and its replacement, applied in both directions.
_BASH = (
    (" -eq ", " -ne "),
    (" -ge ", " -lt "),
    (" -gt ", " -le "),
    (" = ", " != "),
    (" && ", " || "),
    ("[ -n ", "[ -z "),
    ("return 0", "return 1"),
    (" true", " false"),
)
_PYTHON: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: ">=",
    ast.GtE: "<",
    ast.Gt: "<=",
    ast.LtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}


@dataclass(frozen=True)
class Mutant:
    """The text of a file with one fault."""

    line: int
    what: str
    text: str


def mutants_of(path: Path) -> list[Mutant]:
    """List every mutant of a file, in the order of its lines."""
    text = path.read_text(encoding="utf-8")
    made = _of_bash(text) if path.suffix == ".sh" else _of_python(text)
    return [one for one in made if one.text != text]


def _of_bash(text: str) -> Iterator[Mutant]:
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        code = line.split("  # ")[0]
        if not code.strip() or code.lstrip().startswith("#"):
            continue
        for changed in dict.fromkeys(_changed_bash(code)):
            new = [*lines[:number], line.replace(code, changed, 1), *lines[number + 1 :]]
            what = f"`{code.strip()}` becomes `{changed.strip()}`"
            yield Mutant(number + 1, what, "".join(new))


def _changed_bash(code: str) -> Iterator[str]:
    for one, other in _BASH:
        for old, new in ((one, other), (other, one)):
            if old in code:
                yield code.replace(old, new, 1)
    for found in re.finditer(r"(?<![\w$.-])\d+(?![\w)])", code):
        yield code[: found.start()] + str(int(found[0]) + 1) + code[found.end() :]
    if re.fullmatch(r"\s+[a-z_]+=\S+\s*", code):  # an assignment on its own line
        yield re.sub(r"\S.*\S", ":", code, count=1)


def _of_python(text: str) -> Iterator[Mutant]:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    raw = text.encode()
    for node in ast.walk(ast.parse(text)):
        for first, last, new in _changes(node):
            begin = starts[first[0] - 1] + first[1]
            end = starts[last[0] - 1] + last[1]
            old = raw[begin:end].decode()
            made = raw[:begin] + new.encode() + raw[end:]
            what = f"`{' '.join(old.split())}` becomes `{new}`"
            if _is_python(made):
                yield Mutant(first[0], what, made.decode())


def _is_python(text: bytes) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


Place = tuple[int, int]


def _changes(node: ast.AST) -> Iterator[tuple[Place, Place, str]]:
    """Yield the faults of one node: the start, the end, and the text that replaces it."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        before, after = _span(node.left)[1], _span(node.comparators[0])[0]
        yield before, after, f" {_PYTHON[type(node.ops[0])]} "
    elif isinstance(node, ast.BoolOp):
        before, after = _span(node.values[0])[1], _span(node.values[1])[0]
        yield before, after, " or " if isinstance(node.op, ast.And) else " and "
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield *_span(node), repr(value)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield *_span(node.value), "None"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield *_span(node), "pass"
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield *_span(node.test), "False"


def _span(node: ast.expr | ast.stmt) -> tuple[Place, Place]:
    assert node.end_lineno is not None  # noqa: S101 - parsed nodes have positions
    assert node.end_col_offset is not None  # noqa: S101 - likewise
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
