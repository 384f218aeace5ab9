"""Accelerate's keys as a user wrote them: in a spec, accelerate's config, or a DeepSpeed JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterrun.errors import Problem
from clusterrun.job_spec.yaml_text import KeyPath, dotted


@dataclass(frozen=True)
class Given:
    """Nested values, the line of each, and what was found wrong with them."""

    values: Mapping[str, Any]
    line_of: Callable[[KeyPath], str]
    """Returns the position of a value, as `file:line`."""
    prefix: KeyPath = ()
    """Where in that file the values begin: `accelerate` in a spec."""
    problems: list[Problem] = field(default_factory=list)
    """What accelerate would refuse, or leave out in silence."""
    notes: list[str] = field(default_factory=list)
    """What runs, though perhaps not as it was meant."""

    @property
    def in_spec(self) -> bool:
        """Whether the keys are in a spec, whose launch command is ours to write."""
        return bool(self.prefix)

    def get(self, *path: str) -> Any:
        """Return a value; None if it is not there."""
        value: Any = self.values
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a mapping of values; empty if it is not there."""
        value = self.values.get(name)
        return value if isinstance(value, Mapping) else {}

    def fault(self, path: Iterable[str | int], what: str, hint: str = "") -> None:
        """Note a mistake at its line."""
        whole = (*self.prefix, *path)
        self.problems.append(Problem(self.line_of(whole), dotted(whole), what, hint))

    def note(self, path: Iterable[str | int], what: str) -> None:
        """Note what the user should know, at its line."""
        whole = (*self.prefix, *path)
        self.notes.append(f"{self.line_of(whole)}: {dotted(whole)}: {what}")


def number(value: object) -> int | None:
    """Return a whole number; None for anything else, such as "auto" or true."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def quoted_number(value: object) -> int | None:
    """Return a whole number, also from a text, as accelerate's own YAML may have it."""
    return int(value) if isinstance(value, str) and value.isdecimal() else number(value)


def truth(value: object) -> bool:
    """Return whether accelerate's `str_to_bool` reads a value as true (utils/environment.py)."""
    return str(value).lower() in {"y", "yes", "t", "true", "on", "1"}
