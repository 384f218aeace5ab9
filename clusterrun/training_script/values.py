"""The values of expressions in a training script, as far as its text and arguments show."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.training_script.script import TrainingScript
from clusterrun.training_script.syntax import last_name

_NOT_LITERAL = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)


class ValueUnknown(Exception):
    """The value is known only when the script runs."""


@dataclass(frozen=True)
class ScriptValues:
    """A script, with the arguments that it runs with, by name."""

    script: TrainingScript
    arguments: Mapping[str, Any]

    def value_of(self, node: ast.expr) -> Any:
        """Return the value of a literal, an argument such as `args.n_layer`, or a constant name.

        Raises ValueUnknown for any other expression.
        """
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in self.arguments
        ):
            return self.argument(node.attr)
        if isinstance(node, ast.Name):
            return self.value_of(self._constant(node.id))
        try:
            return ast.literal_eval(node)
        except _NOT_LITERAL:
            raise ValueUnknown from None

    def argument(self, name: str) -> Any:
        """Return the value of an argument: a literal such as a number, or the text."""
        text = self.arguments[name]
        if not isinstance(text, str):
            return text
        try:
            return ast.literal_eval(text)
        except _NOT_LITERAL:
            return text

    def keywords_of(self, call: ast.Call) -> Iterator[tuple[str, ast.expr]]:
        """Yield the keywords of a call, those of `**names` included.

        Raises ValueUnknown if another expression is unpacked.
        """
        return self._keywords(call, set())

    def _keywords(self, call: ast.Call, unpacked: set[str]) -> Iterator[tuple[str, ast.expr]]:
        for keyword in call.keywords:
            if keyword.arg is not None:
                yield keyword.arg, keyword.value
            else:
                yield from self._items(keyword.value, unpacked)

    def _items(self, node: ast.expr, unpacked: set[str]) -> Iterator[tuple[str, ast.expr]]:
        if isinstance(node, ast.Name):
            # unpacked twice, its keywords would be duplicates, or it contains itself
            if node.id in unpacked:
                raise ValueUnknown
            unpacked.add(node.id)
            node = self._constant(node.id)
        if isinstance(node, ast.Call) and last_name(node.func) == "dict" and not node.args:
            yield from self._keywords(node, unpacked)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
                    raise ValueUnknown
                yield key.value, value
        else:
            raise ValueUnknown

    def _constant(self, name: str) -> ast.expr:
        """Return the expression that a constant name is bound to, else raise ValueUnknown."""
        value = self.script.constants.get(name)
        if value is None or isinstance(value, ast.Name):
            raise ValueUnknown
        return value
