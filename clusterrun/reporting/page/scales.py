"""Axis ticks, and the position of a value on an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TIMES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Scale:
    """A linear scale from values to positions in the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of a value, to a tenth of a unit of the drawing."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def choose_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from low to high."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    return _list_multiples(low, high, step)


def choose_time_ticks(high: float, count: int = 6) -> list[float]:
    """Return about `count` round times from 0 to high, in seconds."""
    days = math.ceil(high / count / 86400) * 86400
    step = next((step for step in _TIMES if high / step <= count), days)
    return _list_multiples(0, high, step) if high > 0 else [0.0]


def format_time_tick(seconds: float, all_of: Sequence[float]) -> str:
    """Format a tick of a time axis in the unit that fits the distance between ticks."""
    step = all_of[1] if len(all_of) > 1 else 0
    length, unit = next((one for one in _UNITS if step >= one[0] / 2), _UNITS[-1])
    return f"{seconds / length:g} {unit}"


def _list_multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]
