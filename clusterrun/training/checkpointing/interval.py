"""How often to save: the words for it, and whether a save is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from clusterrun import units
from clusterrun.errors import TrainingError


@dataclass(frozen=True)
class Interval:
    """Seconds, optimizer steps, or `auto`, which loses the least time: one of the three."""

    seconds: float | None = None
    steps: int | None = None
    auto: bool = False


def parse_interval(text: str) -> Interval:
    """Parse `90s`, `10min`, `2h`, `500 steps` or `auto`. Raises TrainingError otherwise."""
    text = text.strip()
    if text == "auto":
        return Interval(auto=True)
    steps = units.steps_of(text)
    try:
        seconds = units.seconds_of_duration(text) if steps is None else 0.0
    except ValueError:
        seconds = 0.0
    if not (seconds or steps):
        raise TrainingError(
            f"{text[:80]!r} is not a checkpoint interval",
            "write a duration above 0 (10min, 2h), a number of steps (500 steps), or auto",
        )
    return Interval(seconds=seconds) if steps is None else Interval(steps=steps)


class SaveSchedule:
    """Says when the next checkpoint is due; without an interval, never.

    `optimum` returns the seconds from one save to the next for `auto`; it is asked once in each
    interval.
    """

    def __init__(
        self,
        every: Interval | None,
        optimum: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every = every or Interval()
        self._optimum, self._clock = optimum, clock
        self.saved()

    def saved(self) -> None:
        """Begin the next interval now."""
        self._since = self._clock()
        self._reported = False
        self._limit = self._every.seconds

    def due_at(self, step: int) -> bool:
        """Whether an interval of steps ends with this step; alike on all ranks."""
        return self._every.steps is not None and step % self._every.steps == 0

    def next_save(self, step: int) -> dict[str, object]:
        """Return when the next checkpoint is due: `save_at_step`, or `save_at` in Unix seconds."""
        if self._every.steps is not None:
            return {"save_at_step": (step // self._every.steps + 1) * self._every.steps}
        if self._limit is None:
            return {}
        return {"save_at": int(time.time() + self._since + self._limit - self._clock())}

    def time_is_up(self) -> bool:
        """Whether an interval of time has ended; says so once, and again only after `saved`.

        Clocks of ranks differ: one rank asks, and the others are told.
        """
        if self._every.auto and self._limit is None:
            self._limit = self._optimum()
        late = self._limit is not None and self._clock() - self._since >= self._limit
        first = late and not self._reported
        self._reported = late
        return first
