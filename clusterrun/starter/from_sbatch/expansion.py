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
_GLOB = re.compile(r"(?<!\\)[*?]|\{\d+\.\.\d+\}")
_PART_OF_ARGUMENTS = re.compile(r"\$\{@:\s*(\d+)\}")
_BLANKS = re.compile(r"(?:\s|\\\n)*")
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


def _is_unset(node: Node, scope: Scope) -> bool:
    """Return whether an unquoted `$NAME` is empty, and so no word."""
    found = re.fullmatch(r"\$(\w+)|\$\{(\w+)\}", text_of(node))
    name = (found[1] or found[2]) if found else ""
    if not name or not scope.is_unset(name):
        return False
    scope.unset.setdefault(name, line_of(node))
    return True


def _make_bare(parts: tuple[Part, ...], node: Node) -> tuple[Part, ...]:
    """Return the parts of a node outside quotes."""
    if node.type == "concatenation":
        return parts
    return tuple(Bare(part) if isinstance(part, Shell) else part for part in parts)


def _without_blanks(node: Node) -> str:
    """Return an expansion without what precedes it: the parser includes blanks in a string."""
    return _BLANKS.sub("", text_of(node), count=1).rstrip()


def one_word(node: Node, scope: Scope) -> Word:
    """Return the value in an assignment, which is never split."""
    return Word(_resolve_parts(node, scope), line_of(node))


def _resolve_unquoted(node: Node, scope: Scope) -> list[Word]:
    value = _expand(node, scope)
    if value is None and _is_unset(node, scope):
        return []
    if value is None:
        return [Word((Bare(text_of(node)),), line_of(node))]
    words = value if isinstance(value, tuple) else (value,)
    return [replace(part, line=line_of(node)) for word in words for part in _split_word(word)]


def _split_word(word: Word) -> list[Word]:
    """Split a value at blanks like an unquoted variable; quotes in it have no meaning."""
    found: list[list[Part]] = [[]]
    for part in word.parts:
        if isinstance(part, Shell):
            found[-1].append(Bare(part))
            continue
        pieces = re.split(r"\s+", part.replace("\\\n", ""))
        found[-1] += [pieces[0]] * bool(pieces[0])
        found += [[piece] if piece else [] for piece in pieces[1:]]
    return [replace(word, parts=tuple(parts)) for parts in found if parts]


def _resolve_parts(node: Node, scope: Scope) -> tuple[Part, ...]:
    text = _without_blanks(node) if "expansion" in node.type else text_of(node)
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
    return (_resolve_computed(node, text, scope) or Shell(text),)


def _resolve_computed(node: Node, text: str, scope: Scope) -> str:
    """Return the value of a sum or of a command that prints what is known; else nothing."""
    if node.type == "command_substitution":
        return _printed_by(text, scope)
    number = _evaluate_sum(text, scope) if node.type == "arithmetic_expansion" else None
    return "" if number is None else str(number)


def _resolve_plain(text: str, scope: Scope) -> Part:
    if _GLOB.search(text):
        return Bare(text)
    home = scope.shell.get("HOME", "")
    if home and (text == "~" or text.startswith("~/")):
        text = home + text[1:]
    return re.sub(
        r"\\(\n|.)", lambda found: "" if found[1] == "\n" else found[1], text, flags=re.DOTALL
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
        blanks = _BLANKS.match(text)[0] if "expansion" in child.type else ""  # type: ignore[index]
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
    text = _without_blanks(node)
    found = _EXPANSION.fullmatch(text)
    if not found:
        return _expand_arguments(text, scope)
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


def _expand_arguments(text: str, scope: Scope) -> Value:
    """Return the value of `${@:NUMBER}`; None for any other text."""
    part = _PART_OF_ARGUMENTS.fullmatch(text)
    arguments = scope.look("@") if part else None
    if part is None or not isinstance(arguments, tuple):
        return None
    return arguments[max(int(part[1]) - 1, 0) :]


def _printed_by(text: str, scope: Scope) -> str:
    """Return what a command prints that depends only on the script and its shell; else nothing."""
    inner = text[2:-1].strip() if text.startswith("$(") else text.strip("`").strip()
    conda = scope.shell.get("CONDA_EXE", "")
    if inner == "conda info --base" and conda.endswith("/bin/conda"):
        return conda.removesuffix("/bin/conda")
    words = inner.split()
    if words[:1] == ["expr"] and len(words) > 1:
        number = _evaluate_sum("$((" + " ".join(words[1:]).replace("\\*", "*") + "))", scope)
        return "" if number is None else str(number)
    if re.fullmatch(
        r"scontrol show hostnames?( \"?\$\{?SLURM_(JOB_)?NODELIST\}?\"?)? *\| *wc -l", inner
    ):
        nodes = scope.look("SLURM_JOB_NUM_NODES")
        return nodes.text if isinstance(nodes, Word) and nodes.known else ""
    return ""


def _evaluate_sum(text: str, scope: Scope) -> int | None:
    """Return the value of `$((...))`; None if anything in it is unknown."""

    def number(found: re.Match[str]) -> str:
        value = scope.look(found[1])
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
