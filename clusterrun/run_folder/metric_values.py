"""The metrics in a run's `progress` record: the last, lowest and highest value of each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun.run_folder.records import number, read_record, whole

LOSS = "loss"
MOST_METRICS = 64
"""The number of names that a run keeps; further ones are not recorded."""
_PREFIX = "metric."
_NAME = re.compile(r"[^\s=]{1,100}")


@dataclass(frozen=True)
class MetricValues:
    """The values of one metric of a run; only finite ones count."""

    last: float
    """The last value."""
    step: int
    """The optimizer step at which it was logged."""
    min: float
    """The lowest value."""
    min_step: int
    """The step of the lowest value; the first one, if several are equal."""
    max: float
    """The highest value."""
    max_step: int
    """The step of the highest value; the first one, if several are equal."""

    def best(self, goal: str) -> tuple[float, int]:
        """Return the best value and its step; `goal` is `min` or `max`."""
        return (self.max, self.max_step) if goal == "max" else (self.min, self.min_step)


class MetricLog:
    """The metrics of a run as training logs them, after those of earlier attempts in `progress`."""

    def __init__(self, progress: Path | None = None) -> None:
        self.values: dict[str, MetricValues] = {}
        if progress is not None:
            with suppress(OSError):
                self.values = parse_metrics(read_record(progress))

    def add(self, name: str, step: int, value: float) -> None:
        """Add a value; ignore one that is not finite, and names that a record cannot have."""
        known = self.values.get(name)
        if not math.isfinite(value) or not _NAME.fullmatch(name):
            return
        if known is None:
            if len(self.values) < MOST_METRICS:
                self.values[name] = MetricValues(value, step, value, step, value, step)
            return
        new = replace(known, last=value, step=step)
        if value < known.min:
            new = replace(new, min=value, min_step=step)
        if value > known.max:
            new = replace(new, max=value, max_step=step)
        self.values[name] = new

    def as_record(self) -> dict[str, str]:
        """Return the values as keys of a record."""
        return {f"{_PREFIX}{name}": _format(one) for name, one in dict(self.values).items()}

    def as_line(self) -> dict[str, object]:
        """Return the last values of all metrics but the loss, for a line of the history."""
        values = {name: one.last for name, one in dict(self.values).items() if name != LOSS}
        return {"metrics": values} if values else {}


def parse_metrics(record: Mapping[str, str]) -> dict[str, MetricValues]:
    """Return the metrics of a record by name; ignore corrupt ones."""
    parsed = {
        key.removeprefix(_PREFIX): _parse(text)
        for key, text in record.items()
        if key.startswith(_PREFIX)
    }
    return {name: one for name, one in parsed.items() if one}


def _format(one: MetricValues) -> str:
    pairs = ((one.last, one.step), (one.min, one.min_step), (one.max, one.max_step))
    return " ".join(f"{value:.9g} {step}" for value, step in pairs)


def _parse(text: str) -> MetricValues | None:
    words = text.split()
    values, steps = [number(word) for word in words[::2]], [whole(word) for word in words[1::2]]
    if len(words) != 6 or None in steps or not all(_is_finite(one) for one in values):
        return None
    last, low, high = (value or 0.0 for value in values)
    step, low_step, high_step = (one or 0 for one in steps)
    return MetricValues(last, step, low, low_step, high, high_step)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
