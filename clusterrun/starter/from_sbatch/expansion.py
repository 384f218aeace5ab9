"""Expansion of syntax tree nodes to words, as far as the values are known.

Bash's rules: bash(1), EXPANSION. A variable is replaced by its value; text that is known only when
the script runs stays shell, as written.
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from clusterrun.quoting import Shell
from clusterrun.starter.from_sbatch.bash import text_of
from clusterrun.starter.from_sbatch.words import Bare, Part, Scope, Value, Word, line_of, names_in

if TYPE_CHECKING:
    from tree_sitter import Node

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


def resolve(node: Node, scope: Scope) -> list[Word]:
    """Return the words of a node; an array or an unquoted variable can be several words."""
    if node.type in ("simple_expansion", "expansion"):
        return _resolve_unquoted(node, scope)
    if (
        node.type == "string"
        and len(node.named_children) == 1
        and text_of(node.named_children[0]) == text_of(node)[1:-1]
    ):
        value = _expand(node.named_children[0], scope)
        if isinstance(value, tuple):
            return [replace(word, line=line_of(node)) for word in value]
    parts = _resolve_parts(node, scope)
    return [Word(parts if node.type == "string" else _make_bare(parts, node), line_of(node))]


def _make_bare(parts: tuple[Part, ...], node: Node) -> tuple[Part, ...]:
    """Return the parts of a node outside quotes."""
    if node.type == "concatenation":
        return parts
    return tuple(Bare(part) if isinstance(part, Shell) else part for part in parts)


def one_word(node: Node, scope: Scope) -> Word:
    """Return the value in an assignment, which is never split."""
    return Word(_resolve_parts(node, scope), line_of(node))


def _resolve_unquoted(node: Node, scope: Scope) -> list[Word]:
    value = _expand(node, scope)
    if value is None:
        return [Word((Bare(text_of(node)),), line_of(node))]
    words = value if isinstance(value, tuple) else (value,)
    return [replace(part, line=line_of(node)) for word in words for part in _split_word(word)]


def _split_word(word: Word) -> list[Word]:
    """Split a value at blanks like an unquoted variable; quotes in it have no meaning."""
    fields: list[list[Part]] = [[]]
    for part in word.parts:
        if isinstance(part, Shell):
            fields[-1].append(Bare(part))
            continue
        pieces = re.split(r"\s+", part.replace("\\\n", ""))
        fields[-1] += [pieces[0]] * bool(pieces[0])
        fields += [[piece] if piece else [] for piece in pieces[1:]]
    return [replace(word, parts=tuple(parts)) for parts in fields if parts]


def _resolve_parts(node: Node, scope: Scope) -> tuple[Part, ...]:
    text = text_of(node).strip() if "expansion" in node.type else text_of(node)
    if node.type in ("word", "number", "variable_name", "command_name") and not node.named_children:
        return (_resolve_plain(text, scope),)
    if node.type == "raw_string":
        return (text[1:-1],)
    if node.type in ("string", "concatenation", "command_name"):
        return _join_parts(node, scope)
    if node.type in ("simple_expansion", "expansion"):
        value = _expand(node, scope)
        if isinstance(value, tuple):
            value = Word(tuple(part for word in value for part in (*word.parts, " "))[:-1], 0)
        return (Shell(text),) if value is None else value.parts
    if node.type == "arithmetic_expansion":
        number = _evaluate_sum(text, scope)
        return (Shell(text),) if number is None else (str(number),)
    return (Shell(text),)


def _resolve_plain(text: str, scope: Scope) -> Part:
    if _GLOB.search(text):
        return Bare(text)
    home = scope.shell.get("HOME", "")
    if home and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    return re.sub(
        r"\\(\n|.)", lambda match: "" if match[1] == "\n" else match[1], text, flags=re.DOTALL
    )


def _join_parts(node: Node, scope: Scope) -> tuple[Part, ...]:
    """Return the parts of a string or a word, with the text between its nodes."""
    quoted = node.type == "string"
    source, start = (node.text or b""), node.start_byte
    place, end = (1, len(source) - 1) if quoted else (0, len(source))
    parts: list[Part] = []
    for child in node.named_children:
        if child.type == "string_content":
            continue
        text = text_of(child)  # in a string, an expansion node includes the blanks before it
        blanks = text[: len(text) - len(text.lstrip())] if "expansion" in child.type else ""
        parts.append(_unescape(source[place : child.start_byte - start].decode()) + blanks)
        inner = _resolve_parts(child, scope)
        parts.extend(inner if quoted or child.type == "string" else _make_bare(inner, child))
        place = child.end_byte - start
    parts.append(_unescape(source[place:end].decode()))
    return tuple(part for part in parts if part)


def _unescape(text: str) -> str:
    return re.sub(r'\\([$`"\\])', r"\1", text)


def _expand(node: Node, scope: Scope) -> Value:
    """Return the value of an expansion; None if it is known only at run time."""
    match = _EXPANSION.fullmatch(text_of(node).strip())
    if not match:
        return None
    count, name, index, sign, other = match.groups()
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


def _evaluate_sum(text: str, scope: Scope) -> int | None:
    """Return the value of `$((...))`; None if anything in it is unknown."""

    def number(match: re.Match[str]) -> str:
        value = scope.look(match[1])
        return (
            value.text if isinstance(value, Word) and value.known and value.text.isdigit() else "?"
        )

    inner = re.sub(r"\$?\{?([A-Za-z_]\w*)\}?", number, text[3:-2]).strip()
    try:
        return _evaluate(ast.parse(inner, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError):
        return None


def _evaluate(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return int(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
        return int(_SUMS[type(node.op)](_evaluate(node.left), _evaluate(node.right)))
    raise ValueError
