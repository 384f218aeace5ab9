"""One value of a member of a sweep, as the spec sets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class MemberSetting:
    """A path of the spec, the value that a member has there, and the line that sets it."""

    path: str
    """As in `--set`."""
    value: Any
    where: str

    @property
    def text(self) -> str:
        """The value as the user wrote it."""
        return format_value(self.value)

    @property
    def identity(self) -> tuple[str, str]:
        """What two equal settings have in common: `1e-3` and `0.001` are the same number."""
        value = self.value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = float(value)
        return self.path, f"{type(value).__name__} {format_value(value)}"


Row: TypeAlias = tuple[MemberSetting, ...]
"""The settings of one member, or of one part of it."""


def format_value(value: Any) -> str:
    """Return a value as the user wrote it, on one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {format_value(one)}" for key, one in value.items()) + "}"
    return str(getattr(value, "text", value))


def describe(row: Row) -> str:
    """Return the settings of a member as one line, as in `args.seed=1, args.lr=1e-4`."""
    return ", ".join(f"{one.path}={one.text}" for one in row)
