"""The exceptions of clusterrun, and who has to act on each.

ClusterrunError
├── SpecError       invalid input: a file, an option or a name; the command exits with 2
├── ClusterError    Slurm or the machine refused, or did not respond; the command exits with 1
└── TrainingError   a training script cannot continue; its job is not restarted

Any other exception that reaches the command line is an internal error: exit code 3, with a log
file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in the user's input: where it is, what is wrong, and what to do."""

    where: str
    """`file:line`, an option such as `--set`, or empty."""
    key: str
    """The key, with dots between levels."""
    message: str
    """What is wrong."""
    hint: str = ""
    """What to do."""

    def __str__(self) -> str:
        parts = [part for part in (self.where, self.key, self.message) if part]
        text = ": ".join(parts)
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ClusterrunError(Exception):
    """The base class of all exceptions that clusterrun raises on purpose."""

    exit_code = 1


class SpecError(ClusterrunError):
    """The user's input is invalid; `problems` are all mistakes, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ClusterError(ClusterrunError):
    """Slurm or the machine refused, or did not respond; `hint` is what to do."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}\n  hint: {hint}" if hint else what)


class TrainingError(ClusterrunError):
    """Training cannot continue; `what` is wrong, and `hint` is what to do."""

    def __init__(self, what: str, hint: str) -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}\n  hint: {hint}")
