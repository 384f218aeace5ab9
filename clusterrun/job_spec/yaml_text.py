"""YAML text as plain values, with the line of every value, and without YAML 1.1's traps.

Scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/, chapter 10.3):
`12:00:00` stays text (YAML 1.1 makes it 43200), `no` and `on` stay text, `3e-4` is a number. A
number keeps its source text, so that `3e-4` reaches the training script as written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from clusterrun.errors import Problem, SpecError

KeyPath: TypeAlias = tuple[str | int, ...]

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 20_000
DEEPEST = 50
TOO_DEEP = f"nested more than {DEEPEST} levels deep"

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
# Not larger than a float, about 10**308: an int that is too large for float() or str() raises
# wherever it is compared or printed.
_INT = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,250}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_CORE_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in "str int float bool null timestamp merge value".split()
}
# c-printable of YAML 1.2, chapter 5.1, negated
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Quoted text and comments are skipped as a whole, with the brackets in them.
_BRACKETS = re.compile(
    r"""'[^'\n]*'|"(?:\\.|[^"\\\n])*"|(?:^|(?<=\s))\#.*|[\[\]{}]""", re.MULTILINE
)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is 8 times as fast


class YamlInt(int):
    """A whole number that keeps its source text."""

    text: str


class YamlFloat(float):
    """A number that keeps its source text."""

    text: str


@dataclass
class Document:
    """The values of a YAML text, and the position of each as `file:line`."""

    value: Any
    where: dict[KeyPath, str] = field(default_factory=dict)
    begins: KeyPath = ()
    """Where the written part begins; the mappings above it only lead to it."""

    def line_of(self, path: KeyPath) -> str:
        """Return the line of a value, or of its nearest parent if it is missing."""
        while path not in self.where and path:
            path = path[:-1]
        return self.where.get(path, "")


def read_yaml(text: str, name: str) -> Document:
    """Read one YAML document; `name` is its name in messages.

    Raises SpecError for text that is not YAML, a duplicate key, a tag, or more than a spec needs.
    """
    if len(text) > MOST_CHARACTERS:
        raise SpecError(
            [Problem(name, "", f"too large: {len(text)} characters, at most {MOST_CHARACTERS}")]
        )
    if match := _UNREADABLE.search(text):
        where = f"{name}:{text.count(chr(10), 0, match.start()) + 1}"
        what = f"not YAML: control character U+{ord(match[0]):04X}"
        raise SpecError([Problem(where, "", what, "delete it")])
    try:
        _refuse_structure(text, name)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError([_syntax_problem(error, text, name)]) from error
    document = Document(None)
    builder = _Builder(name, document)
    document.value = builder.build(node, ()) if node is not None else None
    if builder.problems:
        raise SpecError(builder.problems)
    return document


def _refuse_structure(text: str, name: str) -> None:
    """Refuse what no job spec needs, before libyaml builds nodes.

    It builds them by recursion and would overflow its stack.
    """
    depth = documents = 0
    anchors: set[str] = set()
    for event in yaml.parse(text, Loader=_LOADER):
        where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise SpecError([Problem(where, "", TOO_DEEP)])
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            what = "second YAML document (a job spec is one)"
            raise SpecError([Problem(where, "", what, "use one file per document")])
        if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
            hint = f"define it above as &{event.anchor}"
            raise SpecError([Problem(where, "", f"unknown alias *{event.anchor}", hint)])
        anchors.add(getattr(event, "anchor", None) or "")


def read_scalar(text: str) -> Any:
    """Return the value of a plain scalar by YAML 1.2's core schema; text if no other type fits."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    number: YamlInt | YamlFloat
    if _INT.fullmatch(text):
        number = YamlInt(text, _base(text))
    elif _FLOAT.fullmatch(text):
        number = YamlFloat(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    else:
        return text
    number.text = text
    return number


def typed(value: Any) -> Any:
    """Return a text as the number that YAML reads it as, and any other value unchanged."""
    number = read_scalar(value) if isinstance(value, str) else value
    return number if isinstance(number, (int, float)) and not isinstance(number, bool) else value


def _base(text: str) -> int:
    return {"0o": 8, "0x": 16}.get(text[:2], 10)


def _syntax_problem(error: yaml.YAMLError, text: str, name: str) -> Problem:
    """Return a syntax error in PyYAML's words, which change with its version."""
    mark = getattr(error, "problem_mark", None)
    if mark and (deep := _line_too_deep(text[: mark.index])):
        return Problem(f"{name}:{deep}", "", TOO_DEEP)
    where = f"{name}:{mark.line + 1}" if mark else name
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
    tab = mark and line[mark.column : mark.column + 1] == "\t"
    hint = "indent with spaces; YAML does not allow tabs" if tab else ""
    return Problem(where, "", f"not YAML: {what}", hint)


def _line_too_deep(text: str) -> int | None:
    """Return the line of the first bracket that is nested too deep; None without one.

    PyYAML reads a thousand brackets ahead before its first event, and 6.0.4 fails there.
    """
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > DEEPEST:
            return text.count("\n", 0, match.start()) + 1
    return None


class _Builder:
    """Builds the values of one document from its node tree."""

    def __init__(self, name: str, document: Document) -> None:
        self.name, self.document = name, document
        self.problems: list[Problem] = []
        self.count = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        line = f"{self.name}:{node.start_mark.line + 1}"
        if self.count > MOST_VALUES or len(path) > DEEPEST:
            raise SpecError([Problem(line, "", "too many values (an alias of aliases?)")])
        self.document.where.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path, line)

    def _scalar(self, node: yaml.Node, path: KeyPath, line: str) -> Any:
        text: str = node.value
        if node.tag not in _CORE_TAGS and node.tag != "!":
            self._add_problem(line, path, f"tag {node.tag} is not allowed", "write the plain value")
        return text if getattr(node, "style", None) or node.tag == "!" else read_scalar(text)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = f"{self.name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self._add_problem(line, path, "a key must be a single word", "")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key == "<<" and not key_node.style:
                self._merge(values, value_node, path, line)
            elif key in values and here in self.document.where:
                first = self.document.where[here].rsplit(":", 1)[1]
                what = f"duplicate key (first defined on line {first})"
                self._add_problem(line, here, what, "delete one of them")
            else:
                self.document.where[here] = line
                values[key] = self.build(value_node, here)
        return values

    def _merge(self, values: dict[str, Any], node: yaml.Node, path: KeyPath, line: str) -> None:
        """Merge `<<: *anchor`; the mapping's own keys override it."""
        merged = self.build(node, (*path, "<<"))
        if not isinstance(merged, dict):
            self._add_problem(line, path, "<< must refer to one mapping", "")
            return
        for key, value in merged.items():
            values.setdefault(key, value)

    def _add_problem(self, line: str, path: KeyPath, what: str, hint: str) -> None:
        self.problems.append(Problem(line, dotted(path), what, hint))


def dotted(path: KeyPath) -> str:
    """Return a path as users write it: `slurm.nodes`, `environment.setup[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if part.isprintable() else repr(part)
            text += f".{word}" if text else word
    return text
