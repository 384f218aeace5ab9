"""The interval between saves, and whether a save is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from clusterrun import units
from clusterrun.errors import TrainingError


@dataclass(frozen=True)
class Interval:
    """One of seconds, optimizer steps, and `auto`, which minimizes the lost time."""

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
    """Determines when the next checkpoint is due; never without an interval.

    `optimum` returns the seconds between saves for `auto`; it is called once per interval.
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
        """Start the next interval."""
        self._since = self._clock()
        self._reported = False
        self._limit = self._every.seconds

    def due_at(self, step: int) -> bool:
        """Return whether an interval of steps ends with this step; the same on all ranks."""
        return self._every.steps is not None and step % self._every.steps == 0

    def next_save(self, step: int) -> dict[str, object]:
        """Return when the next checkpoint is due: `save_at_step`, or `save_at` in Unix seconds."""
        if self._every.steps is not None:
            return {"save_at_step": (step // self._every.steps + 1) * self._every.steps}
        if self._limit is None:
            return {}
        return {"save_at": int(time.time() + self._since + self._limit - self._clock())}

    def time_is_up(self) -> bool:
        """Return True once when an interval of time has ended, and again only after `saved`.

        Only one rank calls it, because the clocks of ranks differ.
        """
        if self._every.auto and self._limit is None:
            self._limit = self._optimum()
        late = self._limit is not None and self._clock() - self._since >= self._limit
        first = late and not self._reported
        self._reported = late
        return first
