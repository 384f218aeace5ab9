"""A training script as its text shows it: its arguments, and what trains in it. Nothing is run or imported."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.argument_defaults import defaults_of
from clusterrun.job_spec.values import NAME
from clusterrun.planning.strategy.script_source import source_of


@dataclass(frozen=True)
class Script:
    """What is read of a training script, without running it."""

    text: str
    defaults: Mapping[str, Any]
    """Its arguments and their defaults, as texts."""
    required: Sequence[str]

    @property
    def trainer(self) -> bool:
        """Whether transformers.Trainer trains, which takes its precision from its own arguments."""
        source = source_of("", self.text)
        return source is not None and source.trainer

    @property
    def resumable(self) -> bool:
        """Whether it uses the training library of this package."""
        return "clusterrun.training" in self.text


def look_at(path: Path, name: str) -> Script:
    """Read a training script. Raises SpecError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            [Problem("--script", "", f"cannot be read: {name}", "give the path of a Python script")]
        ) from error
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return Script(text, {}, ())
    return Script(text, defaults_of(tree), [*_required(tree)])


def _required(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "add_argument"
        ):
            words = {word.arg: word.value for word in node.keywords}
            needs = words.get("required")
            flags = [
                word.value
                for word in node.args
                if isinstance(word, ast.Constant) and str(word.value).startswith("--")
            ]
            if flags and isinstance(needs, ast.Constant) and needs.value is True:
                found.append(str(flags[0]).lstrip("-"))
    return found


def name_of(script: str) -> str:
    """Return what a run of a script may be called."""
    stem = Path(script).stem
    return stem if NAME.fullmatch(stem) else "run"


def scripts_in(folder: Path) -> list[str]:
    """Return the training scripts of a folder: those that import accelerate or transformers."""
    return [
        path.name
        for path in sorted(folder.glob("*.py"))
        if path.stat().st_size < 1_000_000 and _trains(path)
    ]


def _trains(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(
        f"{how} {library}" in text
        for how in ("import", "from")
        for library in ("accelerate", "transformers")
    )
