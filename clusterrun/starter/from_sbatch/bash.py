"""Bash text as a syntax tree; sole user of tree-sitter, which is imported only when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from clusterrun.errors import ClusterError

if TYPE_CHECKING:
    from tree_sitter import Node


def parse(text: str) -> Node:
    """Return the tree of a script; what cannot be read is a node of the type ERROR in it.

    Raises ClusterError where the parser is not installed.
    """
    try:
        import tree_sitter_bash  # noqa: PLC0415 - for this command alone
        from tree_sitter import Language, Parser  # noqa: PLC0415
    except ImportError as error:
        what = f"reading bash needs a parser that is not installed: {error}"
        raise ClusterError(what, "pip install 'clusterrun[sbatch]'") from error
    return Parser(Language(tree_sitter_bash.language())).parse(text.encode()).root_node


def text_of(node: Node) -> str:
    """Return the source of a node."""
    return (node.text or b"").decode()


def below(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in node.children:
        yield from below(child)


def redirections(node: Node) -> list[str]:
    """Return a command's redirections, but not `2>&1`, which still holds."""
    found = [
        text_of(child)
        for child in node.named_children
        if child.type in ("file_redirect", "heredoc_redirect")
    ]
    return [text.partition("\n")[0] for text in found if not text.startswith("2>&")]


def assigned_names(node: Node) -> list[str]:
    """Return the variables that are assigned in a node."""
    return [
        text_of(one.named_children[0]) for one in below(node) if one.type == "variable_assignment"
    ]
