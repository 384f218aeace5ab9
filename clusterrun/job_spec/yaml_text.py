"""YAML text to plain values, with the line of every value, and without YAML 1.1's traps.

Scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/, chapter 10.3):
`12:00:00` stays text (YAML 1.1 makes it 43200), `no` and `on` stay text, `3e-4` is a number. A
number keeps its source text, so that `3e-4` reaches the training script as it was written.
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
TOO_DEEP = f"nested more than {DEEPEST} deep"

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,4000}|0o[0-7]+|0x[0-9a-fA-F]+")  # int() takes 4300 digits at most
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
    """A whole number that remembers how it was written."""

    text: str


class YamlFloat(float):
    """A number that remembers how it was written."""

    text: str


@dataclass
class Document:
    """The values of a YAML text, and the position of each as `file:line`."""

    value: Any
    where: dict[KeyPath, str] = field(default_factory=dict)
    begins: KeyPath = ()
    """Where the written part begins; the mappings above it are only the way there."""

    def line_of(self, path: KeyPath) -> str:
        """Return the line of a value, or of its nearest parent if it is not there."""
        while path not in self.where and path:
            path = path[:-1]
        return self.where.get(path, "")


def read_yaml(text: str, name: str) -> Document:
    """Read one YAML document; `name` is what messages call it.

    Raises SpecError for text that is not YAML, a key that stands twice, a tag, or more than a spec
    needs.
    """
    if len(text) > MOST_CHARACTERS:
        raise SpecError(
            [Problem(name, "", f"{len(text)} characters; a job spec has at most {MOST_CHARACTERS}")]
        )
    if found := _UNREADABLE.search(text):
        where = f"{name}:{text.count(chr(10), 0, found.start()) + 1}"
        what = f"not YAML: control character U+{ord(found[0]):04X}"
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
    """Refuse what no job spec needs before nodes are made, with words of our own.

    libyaml makes nodes by recursion and would overrun its stack.
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
            what = "a second YAML document; only one is read"
            raise SpecError([Problem(where, "", what, "use a file for each")])
        if isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
            hint = f"define it further up as &{event.anchor}"
            raise SpecError([Problem(where, "", f"unknown alias *{event.anchor}", hint)])
        anchors.add(getattr(event, "anchor", None) or "")


def read_scalar(text: str) -> Any:
    """Return a plain scalar's value by YAML 1.2's core schema; what is no other type is text."""
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
    """Return a text as the number that a YAML file makes of it, and all else as it is."""
    number = read_scalar(value) if isinstance(value, str) else value
    return number if isinstance(number, (int, float)) and not isinstance(number, bool) else value


def _base(text: str) -> int:
    return {"0o": 8, "0x": 16}.get(text[:2], 10)


def _syntax_problem(error: yaml.YAMLError, text: str, name: str) -> Problem:
    """Return a mistake of syntax in PyYAML's words, which change with its version."""
    mark = getattr(error, "problem_mark", None)
    if mark and (deep := _line_too_deep(text[: mark.index])):
        return Problem(f"{name}:{deep}", "", TOO_DEEP)
    where = f"{name}:{mark.line + 1}" if mark else name
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
    tab = mark and line[mark.column : mark.column + 1] == "\t"
    hint = "indent with spaces; YAML does not take tabs" if tab else ""
    return Problem(where, "", f"not YAML: {what}", hint)


def _line_too_deep(text: str) -> int | None:
    """Return the line of the first bracket that is open inside too many others.

    PyYAML looks ahead over a thousand brackets before the first event, and 6.0.4 gives up there.
    """
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > DEEPEST:
            return text.count("\n", 0, found.start()) + 1
    return None


class _Builder:
    """Walks the node tree of one document."""

    def __init__(self, name: str, document: Document) -> None:
        self.name, self.document = name, document
        self.problems: list[Problem] = []
        self.count = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        line = f"{self.name}:{node.start_mark.line + 1}"
        if self.count > MOST_VALUES or len(path) > DEEPEST:
            raise SpecError(
                [Problem(line, "", "more values than a job spec needs (an alias of aliases?)")]
            )
        self.document.where.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path, line)

    def _scalar(self, node: yaml.Node, path: KeyPath, line: str) -> Any:
        text: str = node.value
        if node.tag not in _CORE_TAGS and node.tag != "!":
            self._fault(line, path, f"the tag {node.tag} is not read", "write the plain value")
        return text if getattr(node, "style", None) or node.tag == "!" else read_scalar(text)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = f"{self.name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(line, path, "a key must be a word", "")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key == "<<" and not key_node.style:
                self._merge(values, value_node, path, line)
            elif key in values and here in self.document.where:
                first = self.document.where[here].rsplit(":", 1)[1]
                self._fault(line, here, f"stands twice, first on line {first}", "keep one of them")
            else:
                self.document.where[here] = line
                values[key] = self.build(value_node, here)
        return values

    def _merge(self, values: dict[str, Any], node: yaml.Node, path: KeyPath, line: str) -> None:
        """Merge `<<: *anchor`; the mapping's own keys override it."""
        merged = self.build(node, (*path, "<<"))
        if not isinstance(merged, dict):
            self._fault(line, path, "<< takes one mapping", "")
            return
        for key, value in merged.items():
            values.setdefault(key, value)

    def _fault(self, line: str, path: KeyPath, what: str, hint: str) -> None:
        self.problems.append(Problem(line, dotted(path), what, hint))


def dotted(path: KeyPath) -> str:
    """Write a path as the user would: `slurm.nodes`, `environment.setup[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if part.isprintable() else repr(part)
            text += f".{word}" if text else word
    return text
