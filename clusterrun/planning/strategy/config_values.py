"""The values of a spec, an accelerate config or a DeepSpeed JSON, with the mistakes in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clusterrun.errors import Problem
from clusterrun.job_spec.yaml_text import KeyPath, dotted


@dataclass(frozen=True)
class ConfigValues:
    """Nested values, the line of each, and the mistakes found in them."""

    tree: Mapping[str, Any]
    line_of: Callable[[KeyPath], str]
    """Returns the position of a value, as `file:line`."""
    prefix: KeyPath = ()
    """The path of the values in their file: `accelerate` in a spec."""
    problems: list[Problem] = field(default_factory=list)
    """What accelerate refuses or silently ignores."""
    notes: list[str] = field(default_factory=list)
    """What runs, but perhaps not as intended."""

    @property
    def in_spec(self) -> bool:
        """Whether the values are in a spec, whose launch command we write."""
        return bool(self.prefix)

    def get(self, *path: str) -> Any:
        """Return a value; None if it is missing."""
        value: Any = self.tree
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def section(self, name: str) -> Mapping[str, Any]:
        """Return a mapping of values; empty if it is missing."""
        value = self.tree.get(name)
        return value if isinstance(value, Mapping) else {}

    def add_problem(self, path: Iterable[str | int], what: str, hint: str = "") -> None:
        """Record a mistake at its line."""
        whole = (*self.prefix, *path)
        self.problems.append(Problem(self.line_of(whole), dotted(whole), what, hint))

    def add_note(self, path: Iterable[str | int], what: str) -> None:
        """Record a note for the user at its line."""
        whole = (*self.prefix, *path)
        self.notes.append(f"{self.line_of(whole)}: {dotted(whole)}: {what}")


def number(value: object) -> int | None:
    """Return a whole number; None for anything else, such as "auto" or true."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def quoted_number(value: object) -> int | None:
    """Return a whole number, also from a quoted one, as accelerate's YAML may have it."""
    return int(value) if isinstance(value, str) and value.isdecimal() else number(value)


def truth(value: object) -> bool:
    """Return whether accelerate's `str_to_bool` reads a value as true (utils/environment.py)."""
    return str(value).lower() in {"y", "yes", "t", "true", "on", "1"}
