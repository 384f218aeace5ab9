"""Training scripts as `init` needs them: arguments, Trainer, and training library."""

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
    """The text of a script, parsed if it is Python of this version."""

    text: str
    parsed: TrainingScript | None

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The arguments and their defaults, as texts."""
        return self.parsed.defaults() if self.parsed is not None else {}

    @property
    def required(self) -> Sequence[str]:
        """The required arguments."""
        return self.parsed.required_arguments if self.parsed is not None else ()

    @property
    def trainer(self) -> bool:
        """Whether transformers.Trainer trains, which has its own arguments for precision."""
        return self.parsed is not None and self.parsed.uses_trainer

    @property
    def resumable(self) -> bool:
        """Whether it uses clusterrun.training."""
        if self.parsed is None:
            return "clusterrun.training" in self.text
        return self.parsed.uses_training_library


def read_training_script(path: Path, name: str) -> Script:
    """Read a training script. Raises SpecError if it cannot be read."""
    text = read_script_text(path)
    if text is None:
        raise SpecError(
            [Problem("--script", "", f"cannot be read: {name}", "pass the path of a Python script")]
        )
    return Script(text, parse_script(name, text))


def name_of(script: str) -> str:
    """Return the default name of a run of a script."""
    stem = Path(script).stem
    return stem if NAME.fullmatch(stem) else "run"


def list_training_scripts(folder: Path) -> list[str]:
    """Return the training scripts of a folder: those that import accelerate or transformers."""
    return [path.name for path in sorted(folder.glob("*.py")) if _trains(path)]


def _trains(path: Path) -> bool:
    text = read_script_text(path) or ""
    return any(
        f"{how} {library}" in text
        for how in ("import", "from")
        for library in ("accelerate", "transformers")
    )
