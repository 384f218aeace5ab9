"""Syntax trees of bash text; the only user of tree-sitter, which is imported on first use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clusterrun.errors import ClusterError

if TYPE_CHECKING:
    from tree_sitter import Node

_ASSIGNED_IN_SUM = re.compile(r"([A-Za-z_]\w*)\s*(?:[-+*/%]?=(?!=)|\+\+|--)")


def parse(text: str) -> Node:
    """Return the tree of a script; text that cannot be parsed is a node of type ERROR.

    Raises ClusterError if the parser is not installed.
    """
    try:
        import tree_sitter_bash  # noqa: PLC0415 - only this command needs it
        from tree_sitter import Language, Parser  # noqa: PLC0415
    except ImportError as error:
        what = f"the parser for bash is not installed: {error}"
        raise ClusterError(what, "run pip install 'clusterrun[sbatch]'") from error
    return Parser(Language(tree_sitter_bash.language())).parse(text.encode()).root_node


def text_of(node: Node) -> str:
    """Return the source of a node."""
    return (node.text or b"").decode()


def below(node: Node) -> Iterator[Node]:
    """Yield a node and all its descendants."""
    yield node
    for child in node.children:
        yield from below(child)


def redirections(node: Node) -> list[str]:
    """Return a command's redirections, without `2>&1`, which is still true in a run."""
    texts = [
        text_of(child)
        for child in node.named_children
        if child.type in ("file_redirect", "heredoc_redirect")
    ]
    return [text.partition("\n")[0] for text in texts if not text.startswith("2>&")]


def assigned_names(node: Node) -> list[str]:
    """Return the variables that are assigned in a node."""
    names = [
        text_of(one.named_children[0]) for one in below(node) if one.type == "variable_assignment"
    ]
    sums = re.findall(r"\(\((.*?)\)\)", text_of(node), re.DOTALL)
    return [*names, *(name for text in sums for name in _ASSIGNED_IN_SUM.findall(text))]
