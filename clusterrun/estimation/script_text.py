"""A training script as text: what its arguments are where nobody gives them, and what its names stand for.

Nothing is run or imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clusterrun.job_spec.argument_defaults import defaults_of, name_of


class NotWritten(Exception):
    """A value that is known when the script runs only."""


@dataclass(frozen=True)
class ScriptText:
    """A script's tree, and what a run tells it: arguments by name."""

    name: str
    tree: ast.Module
    given: Mapping[str, Any]

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """What the script's arguments are: those given, above its own defaults, as texts; bare flags are True."""
        given = {
            name: value
            for name, value in self.given.items()
            if value is not None and value is not False
        }
        return defaults_of(self.tree, given) | given

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The whole tree, walked once."""
        return tuple(ast.walk(self.tree))

    def calls(self) -> Iterator[ast.Call]:
        """Yield every call."""
        return (node for node in self.nodes if isinstance(node, ast.Call))

    def fields_set(self) -> set[str]:
        """Return the attributes that the script sets on anything but `self`, as `config.n_layer = 48` does."""
        found = (
            node
            for node in self.nodes
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        )
        return {
            node.attr
            for node in found
            if not (isinstance(node.value, ast.Name) and node.value.id == "self")
        }

    def value(self, node: ast.expr) -> Any:
        """Return what an expression is: a literal, an argument such as `args.n_layer`, or a name for one of them.

        Raises NotWritten where it is none of these.
        """
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in self.arguments
        ):
            return _typed(self.arguments[node.attr])
        if isinstance(node, ast.Name):
            return self.value(self._assigned(node.id))
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise NotWritten from None

    def words_of(self, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
        """Yield the keywords of a call, those of `**names` too. Raises NotWritten for others that are unpacked."""
        for keyword in call.keywords:
            if keyword.arg is not None:
                yield keyword.arg, keyword.value
            else:
                yield from self._items(keyword.value)

    def _items(self, node: ast.expr) -> Iterator[tuple[str, ast.expr]]:
        written = self._assigned(node.id) if isinstance(node, ast.Name) else node
        if isinstance(written, ast.Call) and name_of(written.func) == "dict" and not written.args:
            yield from self.words_of(written)
        elif isinstance(written, ast.Dict) and all(
            isinstance(key, ast.Constant) for key in written.keys
        ):
            yield from (
                (str(ast.literal_eval(key)), value)
                for key, value in zip(written.keys, written.values, strict=True)
                if key
            )
        else:
            raise NotWritten

    def _assigned(self, name: str) -> ast.expr:
        """Return the one expression that a name ever stands for in the whole file, which is no name itself."""
        found = [
            node.value
            for node in self.nodes
            if isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ]
        if len(found) != 1 or self._stored(name) != 1 or isinstance(found[0], ast.Name):
            raise NotWritten
        return found[0]

    def _stored(self, name: str) -> int:
        """Count what may change a name's value: assignments of all kinds, parameters, items set, `update`."""
        return sum(_changes(node, name) for node in self.nodes)


def read_script(path: Path, given: Mapping[str, Any]) -> ScriptText | None:
    """Read a script; None where it cannot be read, or is no Python of this version."""
    try:
        return ScriptText(path.name, ast.parse(path.read_text(encoding="utf-8")), given)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _changes(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.arg):
        return node.arg == name
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Subscript) or (
        isinstance(node, ast.Attribute) and node.attr in ("update", "setdefault")
    ):
        reads = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
        return not reads and isinstance(node.value, ast.Name) and node.value.id == name
    return False


def _typed(text: Any) -> Any:
    """Return the number that an argument's text is, or the text."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
