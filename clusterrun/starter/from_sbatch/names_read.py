"""The variables that shell lines read and set, from their syntax trees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clusterrun.starter.from_sbatch.bash import below, parse, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_WITH_DEFAULT = re.compile(r"\$\{\w+(\[[^]]*\])?:?[-=+?]")
_SETTERS = ("read", "mapfile", "readarray", "getopts", "printf")
OPENERS = ("source", ".", "eval", "module", "ml", "use_conda", "use_venv", "conda", "spack")
"""Commands that can set any variable."""


def names_read(text: str) -> set[str]:
    """Return the variables that a text reads, without those that have a default in it.

    What single quotes hide is read by another program, or by a shell that `bash -c` starts.
    """
    found: set[str] = set()
    for node in below(parse(text)):
        if node.type in ("simple_expansion", "expansion"):
            if not _WITH_DEFAULT.match(text_of(node).strip()):
                found |= set(re.findall(r"^\$\{?[#!]?([A-Za-z_]\w*)", text_of(node).strip()))
        elif node.type == "variable_name" and _in_sum(node):
            found.add(text_of(node))
        elif node.type == "command" and (script := _inner_script(node)):
            found |= names_read(script) - names_set(script)
    return found


def positional_read(text: str) -> set[str]:
    """Return the positional parameters that a text reads outside of its functions."""
    found: set[str] = set()
    for node in below(parse(text)):
        if node.type in ("simple_expansion", "expansion") and not _in_function(node):
            found |= set(re.findall(r"^\$\{?([1-9])\b(?!:?[-+])", text_of(node).strip()))
        elif node.type == "command_name" and text_of(node) in ("getopts", "shift"):
            found |= set() if _in_function(node) else {"@"}
    return found


def names_set(text: str) -> set[str]:
    """Return the variables that a text sets."""
    found: set[str] = set()
    for node in below(parse(text)):
        if node.type in ("variable_assignment", "for_statement") and node.named_children:
            found.add(re.split(r"\W", text_of(node.named_children[0]))[0])
        elif node.type == "declaration_command":
            found |= {text_of(one) for one in node.named_children if one.type == "variable_name"}
        elif node.type == "command":
            words = text_of(node).split()
            if words and words[0] in _SETTERS:
                found |= {word for word in words[1:] if re.fullmatch(r"[A-Za-z_]\w*", word)}
    return found


def sets_anything(text: str) -> bool:
    """Return whether a text has a command that can set any variable."""
    return any(
        node.type == "command_name" and text_of(node) in OPENERS for node in below(parse(text))
    )


def _in_sum(node: Node) -> bool:
    child = node
    for parent in _above(node):
        if parent.type == "variable_assignment" and parent.named_children[0] == child:
            return False
        if parent.type in ("arithmetic_expansion", "test_command"):
            return True
        child = parent
    return False


def _in_function(node: Node) -> bool:
    return any(one.type == "function_definition" for one in _above(node))


def _above(node: Node) -> Iterator[Node]:
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _inner_script(node: Node) -> str:
    """Return the single-quoted text that a command passes to `bash -c`."""
    words = node.named_children
    names = [text_of(word) for word in words]
    if not any(name.rsplit("/", 1)[-1] in ("bash", "sh") for name in names):
        return ""
    quoted = [word for word in words if word.type == "raw_string"]
    return (
        text_of(quoted[0])[1:-1]
        if quoted and any("c" in one for one in names if one[:1] == "-")
        else ""
    )
