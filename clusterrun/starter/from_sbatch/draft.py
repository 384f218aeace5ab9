"""What an old script becomes: the values of a spec, its mistakes, and notes for a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from clusterrun.errors import Problem


@dataclass
class Draft:
    """The values of a job spec with a comment for some of its keys."""

    values: dict[str, Any] = field(default_factory=dict)
    comments: dict[tuple[str | int, ...], str] = field(default_factory=dict)
    """The comment after a key, by its path."""
    mistakes: list[Problem] = field(default_factory=list)
    """What was wrong in the old script; `path` is the mistake's name."""
    notes: list[Problem] = field(default_factory=list)
    """What the new run does otherwise, or what could not be taken over."""
