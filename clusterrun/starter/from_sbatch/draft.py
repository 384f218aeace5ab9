"""The draft of a spec from an old script: its values, mistakes and notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clusterrun.errors import Problem


@dataclass
class Draft:
    """The values of a job spec, with comments for some of its keys."""

    values: dict[str, Any] = field(default_factory=dict)
    comments: dict[tuple[str | int, ...], str] = field(default_factory=dict)
    """The comment after a key, by its path."""
    mistakes: list[Problem] = field(default_factory=list)
    """The mistakes in the old script; `path` is the name of the mistake."""
    notes: list[Problem] = field(default_factory=list)
    """What the new run does differently, and what was not translated."""
    command_line: int = 0
    """The line of the command in the old script."""
    check: str = ""
    """`same` if the spec was proven to start what the script starts; else why it was not
    compared."""
