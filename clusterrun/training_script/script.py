"""A parsed training script: facts that its text shows, each computed on first use."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

from clusterrun.training_script.arguments import (
    BATCH_SIZES,
    find_defaults,
    find_required,
    whole_number,
)

_TRAINER_ARGUMENTS = {
    "HfArgumentParser",
    "TrainingArguments",
    "Seq2SeqTrainingArguments",
    "SFTConfig",
}
_TRAINING_LIBRARY = "clusterrun.training"


@dataclass(frozen=True)
class TrainingScript:
    """The text of a script and its syntax tree."""

    name: str
    """The path as in the spec."""
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    @property
    def file_name(self) -> str:
        """The name without its folders."""
        return PurePath(self.name).name

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """All nodes of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def calls(self) -> tuple[ast.Call, ...]:
        """All calls, in the order of `nodes`."""
        return tuple(node for node in self.nodes if isinstance(node, ast.Call))

    @cached_property
    def imported_names(self) -> frozenset[str]:
        """The full names of all imports, anywhere in the script."""
        return frozenset(name for node in self.nodes for name in _imports(node))

    @cached_property
    def uses_trainer(self) -> bool:
        """Whether it passes its arguments to transformers.TrainingArguments."""
        imports = (node for node in self.nodes if isinstance(node, ast.ImportFrom))
        return any(alias.name in _TRAINER_ARGUMENTS for node in imports for alias in node.names)

    @cached_property
    def uses_training_library(self) -> bool:
        """Whether it imports clusterrun.training."""
        return any(f"{name}.".startswith(f"{_TRAINING_LIBRARY}.") for name in self.imported_names)

    def mentions(self, word: str) -> bool:
        """Return whether a word is anywhere in the text."""
        return re.search(rf"\b{re.escape(word)}\b", self.text) is not None

    @cached_property
    def required_arguments(self) -> tuple[str, ...]:
        """The required arguments, as written, without dashes."""
        return tuple(find_required(self.calls))

    def defaults(self, passed: Collection[str] = ()) -> dict[str, Any]:
        """Return its arguments' defaults as texts, without the arguments in `passed`."""
        return find_defaults(self.nodes, passed)

    def arguments(self, passed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the defaults as texts, overridden by `passed`, where bare flags are True."""
        kept = {
            name: value
            for name, value in passed.items()
            if value is not None and value is not False
        }
        return self.defaults(kept) | kept

    def default_batch_size(self, passed: Collection[str] = ()) -> int | None:
        """Return the default batch size per process; None if an argument in `passed` sets it."""
        defaults = self.defaults(passed)
        # a Trainer reads only one of the names
        names = BATCH_SIZES[:1] if self.uses_trainer else BATCH_SIZES
        sizes = (whole_number(defaults.get(name)) for name in names)
        return next((size for size in sizes if size), None)

    @cached_property
    def attributes_set(self) -> frozenset[str]:
        """The attributes that it sets on anything but `self`, such as `config.n_layer = 48`."""
        return frozenset(
            node.attr
            for node in self.nodes
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        )

    @cached_property
    def constants(self) -> Mapping[str, ast.expr]:
        """The names that are bound once in the script and never changed, with their values."""
        bindings = Counter(name for node in self.nodes for name in _bound_names(node))
        assignments = (node for node in self.nodes if isinstance(node, ast.Assign))
        return {
            target.id: node.value
            for node in assignments
            for target in node.targets
            if isinstance(target, ast.Name) and bindings[target.id] == 1
        }


def _imports(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds or changes: assignments of all kinds, items, `update`."""
    if isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).partition(".")[0]
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.value, ast.Name):
        if isinstance(node, ast.Attribute):
            changes = node.attr in ("update", "setdefault")
        else:
            changes = not isinstance(node.ctx, ast.Load)
        if changes:
            yield node.value.id
