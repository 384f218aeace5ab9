"""How long training may make no progress before it is considered to hang."""

from __future__ import annotations

from collections import deque
from enum import Enum
from statistics import median

# Terminating a healthy run by mistake costs more than detecting a hang late.
_SHORTEST_S = 15 * 60  # a file server may be unavailable, or the script does something unreported
_UNMEASURED_S = 2 * 3600  # for activities without a measure: compilation, evaluations, saves
_STEP_FACTOR = 20  # times the median step
_PAUSE_FACTOR = 4  # times the longest pause between two steps
_RECENT_STEPS = 50  # the number of steps in the median


class Activity(str, Enum):
    """What training is doing, as far as it is reported."""

    START = "start"  # until the first step is complete: the checkpoint, loaders, compilation
    STEP = "step"
    EVALUATION = "evaluation"
    SAVE = "save"
    EPOCH = "epoch"  # between the batches of two epochs
    END = "end"
    OTHER = "other"  # of unknown duration


class Patience:
    """Measures the time between optimizer steps, and derives the limit without progress."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._longest = 0.0
        self._last: float | None = None

    def step(self, now: float) -> None:
        """Note an optimizer step; `now` is in seconds, of any clock that only moves forward."""
        if self._last is not None:
            duration = now - self._last
            self._recent.append(duration)
            self._longest = max(self._longest, duration)
        self._last = now

    def pause(self) -> None:
        """Note that the time until the next step includes another activity."""
        self._last = None

    def seconds(self, doing: Activity) -> int:
        """Return the limit in seconds for an activity; 0: no limit."""
        if doing is Activity.OTHER:
            return 0
        typical = _STEP_FACTOR * median(self._recent) if self._recent else 0.0
        least = _SHORTEST_S if doing is Activity.STEP else _UNMEASURED_S
        return int(max(least, typical, _PAUSE_FACTOR * self._longest))
