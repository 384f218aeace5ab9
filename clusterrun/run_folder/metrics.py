"""Read the metrics that an attempt recorded over time; training/records/history.py writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.files.reading import read_text
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record, whole

_END_OF_TIME = 253402300800  # the year 10000, in seconds since the epoch


@dataclass(frozen=True)
class Point:
    """A moment of a training; None: not known."""

    time: float
    """When the step was done, in seconds since the epoch."""
    step: int
    loss: float | None
    learning_rate: float | None
    rate: float | None
    """Samples a second."""
    saving: float
    """Seconds that training has stood still for saves, since the attempt began."""


@dataclass(frozen=True)
class Metrics:
    """What one attempt measured; all empty for a script that does not use clusterrun.training."""

    points: tuple[Point, ...] = ()
    """In the order of time; at most 2,000, whatever the attempt's length."""
    first_step: float | None = None
    """When its first step was done, in seconds since the epoch."""
    left: float | None = None
    """When its training ended and it began to exit, in seconds since the epoch; None if unknown."""
    saving: float = 0.0
    """Seconds that training stood still for saves."""
    saves: int = 0


def read_metrics(paths: RunPaths, attempt: str) -> Metrics:
    """Read the metrics of an attempt; incomplete lines and missing files are left out."""
    times = read_record(paths.times(attempt))
    return Metrics(
        points=tuple(_read_points(paths.metrics(attempt))),
        first_step=_parse_moment(times.get("first_step")),
        left=_parse_moment(times.get("left")),
        saving=_finite_number(number(times.get("saving"))) or 0.0,
        saves=whole(times.get("saves")) or 0,
    )


def _read_points(path: Path) -> list[Point]:
    try:
        text = read_text(path, errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return []
    points: list[Point] = []
    for line in text.splitlines():
        point = _parse_point(line)
        if point and (not points or point.time >= points[-1].time):
            points.append(point)
    return points


def _parse_point(line: str) -> Point | None:
    try:
        values = json.loads(line)
        time, step = float(values["time"]), int(values["step"])
    except (ValueError, TypeError, KeyError, OverflowError):  # half a line, or what is none
        return None
    loss, learning_rate, rate, saving = (
        _finite_number(values.get(key)) for key in ("loss", "learning_rate", "rate", "saving")
    )
    return Point(time, step, loss, learning_rate, rate, saving or 0.0) if _is_moment(time) else None


def _is_moment(seconds: float | None) -> bool:
    """Return whether a time is one that clocks show."""
    return seconds is not None and 0 <= seconds < _END_OF_TIME


def _parse_moment(text: str | None) -> float | None:
    moment = number(text)
    return moment if _is_moment(moment) else None


def _finite_number(value: object) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None  # type: ignore[arg-type]


def join_points(attempts: Sequence[Metrics]) -> list[Point]:
    """Return the moments of a training that count, from its attempts, oldest first.

    What a later attempt trained again is left out of the earlier one.
    """
    points: list[Point] = []
    for one in attempts:
        if one.points:
            points = [point for point in points if point.step < one.points[0].step]
            points += one.points
    return points
