"""Read the metrics that an attempt recorded over time; training/records/history.py writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clusterrun.files.reading import read_text
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record, whole

_END_OF_TIME = 253402300800  # the year 10000, in seconds since the epoch


@dataclass(frozen=True)
class Point:
    """The state of a training run at one moment; None if unknown."""

    time: float
    """When the step was completed, in seconds since the epoch."""
    step: int
    loss: float | None
    learning_rate: float | None
    rate: float | None
    """Samples per second."""
    saving: float
    """Seconds that training has been blocked by saves since the attempt started."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The last values of the other metrics, by name."""


@dataclass(frozen=True)
class Metrics:
    """The metrics of one attempt; empty if its script does not use clusterrun.training."""

    points: tuple[Point, ...] = ()
    """Points in order of time; at most 2,000, whatever the length of the attempt."""
    first_step: float | None = None
    """When the first step was completed, in seconds since the epoch."""
    left: float | None = None
    """When training ended and the exit began, in seconds since the epoch; None if unknown."""
    saving: float = 0.0
    """Seconds that training was blocked by saves."""
    saves: int = 0


def read_metrics(paths: RunPaths, attempt: str) -> Metrics:
    """Read the metrics of an attempt; ignore incomplete lines and missing files."""
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
    except (ValueError, TypeError, KeyError, OverflowError):  # an incomplete or invalid line
        return None
    loss, learning_rate, rate, saving = (
        _finite_number(values.get(key)) for key in ("loss", "learning_rate", "rate", "saving")
    )
    if not _is_moment(time):
        return None
    metrics = _parse_metrics(values.get("metrics"))
    return Point(time, step, loss, learning_rate, rate, saving or 0.0, metrics)


def _parse_metrics(values: object) -> dict[str, float]:
    pairs = values.items() if isinstance(values, dict) else ()
    numbers = ((str(name), _finite_number(value)) for name, value in pairs)
    return {name: number for name, number in numbers if number is not None}


def _is_moment(seconds: float | None) -> bool:
    """Return whether a time is one that clocks show."""
    return seconds is not None and 0 <= seconds < _END_OF_TIME


def _parse_moment(text: str | None) -> float | None:
    moment = number(text)
    return moment if _is_moment(moment) else None


def _finite_number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def join_points(attempts: Sequence[Metrics]) -> list[Point]:
    """Join the points of a run's attempts, oldest first.

    Steps that a later attempt repeated are dropped from the earlier one.
    """
    points: list[Point] = []
    for one in attempts:
        if one.points:
            points = [point for point in points if point.step < one.points[0].step]
            points += one.points
    return points
