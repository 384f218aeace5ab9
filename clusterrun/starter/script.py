"""A training script as `init` needs it: its arguments, and what trains in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.values import NAME
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.reading import parse_script, read_script_text


@dataclass(frozen=True)
class Script:
    """The text of a script, and what it shows if it is Python of this version."""

    text: str
    parsed: TrainingScript | None

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Its arguments and their defaults, as texts."""
        return self.parsed.defaults() if self.parsed is not None else {}

    @property
    def required(self) -> Sequence[str]:
        """The arguments that must be given."""
        return self.parsed.required_arguments if self.parsed is not None else ()

    @property
    def trainer(self) -> bool:
        """Whether transformers.Trainer trains, which takes its precision from its own arguments."""
        return self.parsed is not None and self.parsed.uses_trainer

    @property
    def resumable(self) -> bool:
        """Whether it uses the training library of this package."""
        if self.parsed is None:
            return "clusterrun.training" in self.text
        return self.parsed.uses_training_library


def look_at(path: Path, name: str) -> Script:
    """Read a training script. Raises SpecError if it cannot be read."""
    text = read_script_text(path)
    if text is None:
        raise SpecError(
            [Problem("--script", "", f"cannot be read: {name}", "give the path of a Python script")]
        )
    return Script(text, parse_script(name, text))


def name_of(script: str) -> str:
    """Return what a run of a script may be called."""
    stem = Path(script).stem
    return stem if NAME.fullmatch(stem) else "run"


def scripts_in(folder: Path) -> list[str]:
    """Return the training scripts of a folder: those that import accelerate or transformers."""
    return [path.name for path in sorted(folder.glob("*.py")) if _trains(path)]


def _trains(path: Path) -> bool:
    text = read_script_text(path) or ""
    return any(
        f"{how} {library}" in text
        for how in ("import", "from")
        for library in ("accelerate", "transformers")
    )
