"""Rewriting of bash text so that restricted bash can run it with recorders in place of programs.

Restricted bash (bash(1), RESTRICTED SHELL) refuses commands with a slash, redirections to files,
and assignments to PATH. They are replaced by calls of recorders, on the same lines. What is missed
here is refused by bash, not run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clusterrun.starter.from_sbatch.bash import below, parse, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

_PLAIN = re.compile(r"[A-Za-z0-9_.:\[\]+@-]+")
_REDIRECT = re.compile(r"(\d*)(<|>>|>\||>|&>>|&>|<>)\s*(.*)", re.DOTALL)
_PRINTERS = frozenset("cat echo printf scontrol sed awk envsubst jq tr python python3".split())
_VARIABLES = {"$$": "${__pid}", "$0": "${__zero}", "${0}": "${__zero}"}
_FILE_TESTS = frozenset("-e -f -d -r -s -w -x -L -h".split())
SEARCH_PATH = "__PATH"
"""The name used for PATH, which restricted bash does not let a script set."""


@dataclass
class _Edits:
    """Replacements in a text, by their places in bytes."""

    text: bytes
    found: list[tuple[int, int, str]] = field(default_factory=list)

    def replace(self, start: int, end: int, text: str) -> None:
        self.found.append((start, end, text))

    def apply(self) -> str:
        result, place = b"", 0
        for start, end, text in sorted(self.found):
            if start < place:
                continue  # inside of a replaced part
            result += self.text[place:start] + text.encode()
            place = end
        return (result + self.text[place:]).decode()


def rewrite(text: str, *, files_exist: bool = False) -> str:
    """Return a script for restricted bash with the recorders.

    With `files_exist`, tests for files in brackets are true; otherwise they are as on this machine.
    """
    root = parse(text)
    edits = _Edits(text.encode())
    for node in below(root):
        if node.type == "command_name":
            _rewrite_name(node, edits)
        elif node.type == "file_redirect":
            _rewrite_redirect(node, edits)
        elif files_exist and node.type == "test_operator" and text_of(node) in _FILE_TESTS:
            edits.replace(node.start_byte, node.end_byte, "-n")
        elif node.type == "&":
            edits.replace(node.start_byte, node.end_byte, "& builtin wait $! 2>&9;")
        elif node.type == "variable_name" and text_of(node) == "PATH":
            edits.replace(node.start_byte, node.end_byte, SEARCH_PATH)
        elif node.type in ("simple_expansion", "expansion"):
            new = _VARIABLES.get(text_of(node).strip())
            if new:
                start = node.end_byte - len(text_of(node).strip().encode())
                edits.replace(start, node.end_byte, new)
    return edits.apply()


def _rewrite_name(node: Node, edits: _Edits) -> None:
    if not _PLAIN.fullmatch(text_of(node)):
        edits.replace(node.start_byte, node.start_byte, "__run ")


def _rewrite_redirect(node: Node, edits: _Edits) -> None:
    found = _REDIRECT.fullmatch(text_of(node))
    if not found or re.fullmatch(r"&\s*(\d+|-)|[<>]\(.*", found[3], re.DOTALL):
        return
    number, operator, target = found.groups()
    if target.startswith("&"):  # `>& file` is `&> file`
        operator, target = "&>", target[1:]
    start, end = node.start_byte, node.end_byte
    if operator == "<":
        edits.replace(start, end, f"{number}< <(__contents {target})")
    elif target == "/dev/stderr":
        edits.replace(start, end, f"{number}>&2")
    elif not number and operator[0] == ">" and not target.startswith("/dev/"):
        _rewrite_file(node, operator, target, edits)
    elif operator.startswith("&"):
        edits.replace(start, end, ">&9 2>&9")
    else:
        edits.replace(start, end, f"{number}>&9")


def _rewrite_file(node: Node, operator: str, target: str, edits: _Edits) -> None:
    """Record the file that a command prints to, with its contents if a plain command prints it."""
    statement = node.parent
    while statement is not None and statement.type != "redirected_statement":
        statement = statement.parent
    body = statement.named_children[0] if statement is not None else None
    name = next(iter(body.named_children), None) if body is not None else None
    if body is None or name is None or body.type != "command" or name.type != "command_name":
        edits.replace(node.start_byte, node.end_byte, ">&9")
        return
    here = any(child.type == "heredoc_redirect" for child in below(statement)) if statement else 0
    if here and text_of(body) == "cat":
        edits.replace(body.start_byte, body.end_byte, f"__file '{operator}' {target}")
        edits.replace(node.start_byte, node.end_byte, "")
    elif not here and text_of(name) in _PRINTERS:
        edits.replace(body.start_byte, body.start_byte, f"__file '{operator}' {target} < <(")
        edits.replace(body.end_byte, body.end_byte, ")")
        edits.replace(node.start_byte, node.end_byte, "")
    else:
        edits.replace(node.start_byte, node.end_byte, ">&9")
