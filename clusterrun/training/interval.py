"""How often to save: the words for it, and whether a save is due."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import TrainingError

_SECONDS = {"s": 1, "min": 60, "h": 3600}
_WORDS = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h)|(\d+)\s*steps?", re.ASCII)


@dataclass(frozen=True)
class Interval:
    """A time in seconds or a number of optimizer steps; the other one is None."""

    seconds: float | None = None
    steps: int | None = None


def parse_interval(text: str) -> Interval:
    """Read `90s`, `10min`, `2h` or `500 steps`; raises TrainingError for all else, and zero."""
    match = _WORDS.fullmatch(text.strip())
    number = float(match[1] or match[3]) if match else 0.0
    if not match or number == 0:
        raise TrainingError(
            f"{text!r} is no checkpoint interval",
            "write a number above 0 with s, min or h (10min), or a number of steps (500 steps)",
        )
    return Interval(steps=int(number)) if match[3] else Interval(number * _SECONDS[match[2]])


class SaveSchedule:
    """Says when the next checkpoint is due; without an interval, never."""

    def __init__(self, every: Interval | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every or Interval()
        self._clock = clock
        self.saved()

    def saved(self) -> None:
        """Begin the next interval now."""
        self._since = self._clock()
        self._asked = False

    def due_at(self, step: int) -> bool:
        """Whether an interval of steps ends with this step; alike on all ranks."""
        return self._every.steps is not None and step % self._every.steps == 0

    def time_is_up(self) -> bool:
        """Whether an interval of time has ended; says so once, and again only after `saved`.

        Clocks of ranks differ: one rank asks, and the others are told.
        """
        late = self._every.seconds is not None and self._clock() - self._since >= self._every.seconds
        first = late and not self._asked
        self._asked = late
        return first
