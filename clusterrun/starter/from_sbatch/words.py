"""What the words of a command are, as far as the script itself says it: nothing is run.

Bash's rules: bash(1), EXPANSION. A variable is followed to its one value; what is known only when
the script runs stays shell text, as written.
"""

from __future__ import annotations

import ast
import operator
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from clusterrun.quoting import Shell, control_character
from clusterrun.starter.from_sbatch.bash import text_of
from clusterrun.starter.from_sbatch.secrets import is_secret_name

if TYPE_CHECKING:
    from tree_sitter import Node

_NAMES = re.compile(r"\$\{?#?([A-Za-z_]\w*)")
_EXPANSION = re.compile(r"\$\{?(#?)(\w+|[@*])(?:\[(@|\*|\d+)\])?(?:(:?[-+])(.*?))?\}?", re.DOTALL)
_GLOB = re.compile(r"(?<!\\)[*?]|^\[|\{\d+\.\.\d+\}")
_SUMS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}

Part: TypeAlias = str
"""A piece of a word: a str is its value, a Shell is known only when the script runs."""


class Bare(Shell):
    """Shell text that stands without quotes, so that it can become several words, or none."""

    __slots__ = ()


@dataclass(frozen=True)
class Word:
    """One word of a command, as far as it is known."""

    parts: tuple[Part, ...]
    line: int

    @property
    def known(self) -> bool:
        """Whether the script itself says all of it."""
        return not any(isinstance(part, Shell) for part in self.parts)

    @property
    def one_line(self) -> bool:
        """Whether it is known, and can stand in a spec as a value, which has no newline."""
        return self.known and not control_character(self.text)

    @property
    def text(self) -> str:
        """Its value, with shell text in the places that are not known."""
        return self.source.replace("\\\n", "")

    @property
    def source(self) -> str:
        """Return the text with its line ends unchanged, so that a script in it keeps its lines."""
        return "".join(self.parts)

    @property
    def names(self) -> set[str]:
        """The variables that it still needs when the script runs."""
        return names_in("".join(part for part in self.parts if isinstance(part, Shell)))

    @property
    def shell(self) -> str:
        """The word as a shell would have to read it."""
        merged: list[Part] = []
        for part in self.parts:
            if merged and not isinstance(part, Shell) and not isinstance(merged[-1], Shell):
                merged[-1] += part
            else:
                merged.append(part)
        return "".join(map(_as_shell, merged)) or "''"


Value: TypeAlias = Word | tuple[Word, ...] | None
"""What a variable holds: a word, an array, or None where it depends on the run."""


@dataclass
class Scope:
    """The variables of a script, above those of the shell that it is submitted from."""

    values: dict[str, Value] = field(default_factory=dict)
    shell: Mapping[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    """Variables of that shell whose values were used."""

    typed_behind: bool = False
    """Whether the words behind the script's own name were asked for, which sbatch can be given."""

    def look(self, name: str) -> Value:
        """Return what a variable holds."""
        if name in ("@", "*") and name not in self.values:
            self.typed_behind = True
            return ()
        if name in self.values:
            return self.values[name]
        # what the job itself goes on with, and what may be written nowhere, stays a name
        if name in self.shell and not name.endswith("PATH") and not is_secret_name(name):
            if name not in ("HOME", "USER"):
                self.taken[name] = self.shell[name]
            return Word((self.shell[name],), 0)
        return None


def names_in(text: str) -> set[str]:
    """Return the variables that a shell text reads."""
    return set(_NAMES.findall(text))


def naming(word: Word, known: Mapping[str, str]) -> Word:
    """Return a word that reads variables for some of its text: `known` maps values to names."""
    parts = word.parts
    for value, name in known.items():
        parts = tuple(
            piece for part in parts for piece in _named(part, value, Shell(f"${{{name}}}"))
        )
    return replace(word, parts=tuple(part for part in parts if part))


def _named(part: Part, value: str, name: Shell) -> list[Part]:
    if isinstance(part, Shell) or value not in part:
        return [part]
    pieces: list[Part] = []
    for text in part.split(value):
        pieces += [text, name]
    return pieces[:-1]


def positional(words: Sequence[Word]) -> dict[str, Value]:
    """Return the parameters of a function that is called with these words."""
    numbered: dict[str, Value] = {str(number): word for number, word in enumerate(words, 1)}
    return {**numbered, "@": tuple(words), "*": tuple(words)}


def line_of(node: Node) -> int:
    """Return the line of a node, from 1."""
    return int(node.start_point[0]) + 1


def resolve(node: Node, scope: Scope) -> list[Word]:
    """Return the words that a node becomes: an array or an unquoted variable can be several."""
    if node.type in ("simple_expansion", "expansion"):
        return _unquoted(node, scope)
    if (
        node.type == "string"
        and len(node.named_children) == 1
        and text_of(node.named_children[0]) == text_of(node)[1:-1]
    ):
        value = _value(node.named_children[0], scope)
        if isinstance(value, tuple):
            return [replace(word, line=line_of(node)) for word in value]
    parts = _parts(node, scope)
    return [Word(parts if node.type == "string" else _bare(parts, node), line_of(node))]


def _bare(parts: tuple[Part, ...], node: Node) -> tuple[Part, ...]:
    """Return the parts of a node as they stand without quotes."""
    if node.type == "concatenation":
        return parts
    return tuple(Bare(part) if isinstance(part, Shell) else part for part in parts)


def one_word(node: Node, scope: Scope) -> Word:
    """Return the value that an assignment gives a variable, which is never split."""
    return Word(_parts(node, scope), line_of(node))


def _as_shell(part: Part) -> str:
    if isinstance(part, Bare):
        return part
    return f'"{part}"' if isinstance(part, Shell) else shlex.quote(part.replace("\\\n", ""))


def _unquoted(node: Node, scope: Scope) -> list[Word]:
    value = _value(node, scope)
    if value is None:
        return [Word((Bare(text_of(node)),), line_of(node))]
    words = value if isinstance(value, tuple) else (value,)
    return [replace(part, line=line_of(node)) for word in words for part in _split(word)]


def _split(word: Word) -> list[Word]:
    """Split a value at its blanks, like an unquoted variable; quotes in it have no meaning."""
    found: list[list[Part]] = [[]]
    for part in word.parts:
        if isinstance(part, Shell):
            found[-1].append(Bare(part))
            continue
        pieces = re.split(r"\s+", part.replace("\\\n", ""))
        found[-1] += [pieces[0]] * bool(pieces[0])
        found += [[piece] if piece else [] for piece in pieces[1:]]
    return [replace(word, parts=tuple(parts)) for parts in found if parts]


def _parts(node: Node, scope: Scope) -> tuple[Part, ...]:
    text = text_of(node).strip() if "expansion" in node.type else text_of(node)
    if node.type in ("word", "number", "variable_name", "command_name") and not node.named_children:
        return (_plain(text, scope),)
    if node.type == "raw_string":
        return (text[1:-1],)
    if node.type in ("string", "concatenation", "command_name"):
        return _joined(node, scope)
    if node.type in ("simple_expansion", "expansion"):
        value = _value(node, scope)
        if isinstance(value, tuple):
            value = Word(tuple(part for word in value for part in (*word.parts, " "))[:-1], 0)
        return (Shell(text),) if value is None else value.parts
    if node.type == "arithmetic_expansion":
        number = _sum(text, scope)
        return (Shell(text),) if number is None else (str(number),)
    return (Shell(text),)


def _plain(text: str, scope: Scope) -> Part:
    if _GLOB.search(text):
        return Bare(text)
    home = scope.shell.get("HOME", "")
    if home and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    return re.sub(
        r"\\(\n|.)", lambda found: "" if found[1] == "\n" else found[1], text, flags=re.DOTALL
    )


def _joined(node: Node, scope: Scope) -> tuple[Part, ...]:
    """Join the parts of a string or of a word; text between the nodes is text, too."""
    quoted = node.type == "string"
    source, start = (node.text or b""), node.start_byte
    place, end = (1, len(source) - 1) if quoted else (0, len(source))
    parts: list[Part] = []
    for child in node.named_children:
        if child.type == "string_content":
            continue
        text = text_of(child)  # in a string an expansion begins with the blanks in front of it
        blanks = text[: len(text) - len(text.lstrip())] if "expansion" in child.type else ""
        parts.append(_in_quotes(source[place : child.start_byte - start].decode()) + blanks)
        inner = _parts(child, scope)
        parts.extend(inner if quoted or child.type == "string" else _bare(inner, child))
        place = child.end_byte - start
    parts.append(_in_quotes(source[place:end].decode()))
    return tuple(part for part in parts if part)


def _in_quotes(text: str) -> str:
    return re.sub(r'\\([$`"\\])', r"\1", text)


def _value(node: Node, scope: Scope) -> Value:
    """Return what an expansion stands for; None where only the run knows."""
    found = _EXPANSION.fullmatch(text_of(node).strip())
    if not found:
        return None
    count, name, index, sign, other = found.groups()
    value = scope.look(name)
    unset = (
        value is None
        and name not in scope.values
        and not name.startswith("SLURM")
        and not name.isdigit()
    )
    if sign in (":-", "-") and unset and not names_in(other):
        return Word((other.strip("\"'"),), line_of(node))
    if sign in (":+", "+") or value is None:
        return None
    if count:
        return Word((str(len(value)),), 0) if isinstance(value, tuple) and index else None
    if not isinstance(value, tuple) or index in ("@", "*") or name in ("@", "*"):
        return value
    number = int(index or 0)
    return value[number] if number < len(value) and all(word.known for word in value) else None


def _sum(text: str, scope: Scope) -> int | None:
    """Return what `$((...))` is, where all in it is known."""

    def number(found: re.Match[str]) -> str:
        value = scope.look(found[1])
        return (
            value.text if isinstance(value, Word) and value.known and value.text.isdigit() else "?"
        )

    inner = re.sub(r"\$?\{?([A-Za-z_]\w*)\}?", number, text[3:-2]).strip()
    try:
        return _computed(ast.parse(inner, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError):
        return None


def _computed(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return int(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
        return int(_SUMS[type(node.op)](_computed(node.left), _computed(node.right)))
    raise ValueError
