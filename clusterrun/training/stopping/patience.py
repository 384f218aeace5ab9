"""How long a training may be silent before it is taken for one that hangs."""

from __future__ import annotations

from collections import deque
from enum import Enum
from statistics import median

# A training that is ended though it was well loses more than one that hangs a while longer.
_SHORTEST_S = (
    15 * 60
)  # seconds; a file server may be away, and a script may do what it does not tell
_UNMEASURED_S = 2 * 3600  # for what has no measure: compilation, evaluations, saves
_STEP_FACTOR = 20  # times the median step
_PAUSE_FACTOR = 4  # times the longest pause between two steps
_RECENT_STEPS = 50  # steps that the median is taken of


class Activity(str, Enum):
    """What a training does, as far as it says so."""

    START = "start"  # until the first step is done: the checkpoint, the loaders, compilation
    STEP = "step"
    EVALUATION = "evaluation"
    SAVE = "save"
    EPOCH = "epoch"  # between the batches of two epochs
    END = "end"
    OTHER = "other"  # nobody knows how long that takes


class Patience:
    """Measures the time between optimizer steps, and derives how long a silence is too long."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._longest = 0.0
        self._last: float | None = None

    def step(self, now: float) -> None:
        """Note an optimizer step; `now` is in seconds, of any clock that only moves forward."""
        if self._last is not None:
            taken = now - self._last
            self._recent.append(taken)
            self._longest = max(self._longest, taken)
        self._last = now

    def pause(self) -> None:
        """Note that there is something else than a step in the time until the next one."""
        self._last = None

    def seconds(self, doing: Activity) -> int:
        """Return the seconds for what is being done; 0: no silence is too long."""
        if doing is Activity.OTHER:
            return 0
        typical = _STEP_FACTOR * median(self._recent) if self._recent else 0.0
        least = _SHORTEST_S if doing is Activity.STEP else _UNMEASURED_S
        return int(max(least, typical, _PAUSE_FACTOR * self._longest))
