"""All errors of clusterrun, and who has to act on each.

ClusterrunError
├── SpecError       the user's file, option or name is wrong; the command exits with 2
├── ClusterError    Slurm or the machine refused, or did not answer; the command exits with 1
└── TrainingError   a training script cannot continue; its job is not restarted

Anything else that reaches the command line is a bug: exit 3, with a log file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake of the user: where it stands, what is wrong, and the way out."""

    where: str
    """`file:line`, `--set` or the like."""
    key: str
    """The key as written, dots between levels."""
    message: str
    """What is wrong."""
    hint: str = ""
    """What to do."""

    def __str__(self) -> str:
        parts = [part for part in (self.where, self.key, self.message) if part]
        text = ": ".join(parts)
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ClusterrunError(Exception):
    """The root of everything that clusterrun raises on purpose."""

    exit_code = 1


class SpecError(ClusterrunError):
    """The user's input is wrong; carries every mistake found, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ClusterError(ClusterrunError):
    """Slurm or the machine refused or did not answer; `hint` says what to do next."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}\n  hint: {hint}" if hint else what)


class TrainingError(ClusterrunError):
    """Training must not continue like this; `what` is wrong, and `hint` says what to do next."""

    def __init__(self, what: str, hint: str) -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}\n  hint: {hint}")
