"""The charts of a comparison as numbers for an SVG, by pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from clusterrun.reporting.page.charts import XY, Tick, thin_out
from clusterrun.reporting.page.scales import Scale, choose_ticks

WIDTH, HEIGHT = 1140, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 16, 38
_POINTS = 240
"""Points per curve: two hundred curves are a page of less than two megabytes."""
_EDGE = 90
_LINE = 13  # the height of a label
_PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
_BEST, _WORST = (0, 114, 178), (230, 159, 0)
_LOG_RATIO = 20  # from this ratio of the highest to the lowest value on, an axis is logarithmic


@dataclass(frozen=True)
class RunLine:
    """The line of one run; `number` is its row in the table, from 0."""

    number: int
    points: str


@dataclass(frozen=True)
class CurveChart:
    """The curves of all runs over steps."""

    name: str
    title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[RunLine, ...]
    cut: bool
    """Whether high values are above the chart."""


@dataclass(frozen=True)
class Axis:
    """A vertical axis of the parallel coordinates."""

    title: str
    x: float
    anchor: str
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Parallel:
    """Parallel coordinates: an axis per value, and a line per run."""

    axes: tuple[Axis, ...]
    lines: tuple[RunLine, ...]


def choose_colours(count: int) -> list[str]:
    """Return the colours of runs, the best first: distinct for a few, else from blue to orange."""
    if count <= len(_PALETTE):
        return list(_PALETTE[:count])
    return [_mix(place / (count - 1)) for place in range(count)]


def _mix(share: float) -> str:
    parts = (round(low + (high - low) * share) for low, high in zip(_BEST, _WORST, strict=True))
    return "#" + "".join(f"{part:02x}" for part in parts)


def lay_out_curves(name: str, title: str, curves: Sequence[Sequence[XY]]) -> CurveChart:
    """Lay out the curves of runs in one chart; a diverged run does not flatten the others."""
    every = [point for points in curves for point in points]
    xs = sorted(x for x, _ in every)
    low, high, cut = _find_range([*filter(None, curves)]) if every else (0.0, 1.0, False)
    spare = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    across = Scale(xs[0] if xs else 0.0, xs[-1] if xs else 1.0, _LEFT, WIDTH - _RIGHT)
    up = Scale(low - spare, high + spare, HEIGHT - _BOTTOM, _TOP)
    return CurveChart(
        name,
        title,
        tuple(Tick(across(x), f"{x:g}") for x in choose_ticks(across.low, across.high)),
        tuple(Tick(up(y), f"{y:.3g}") for y in choose_ticks(up.low, up.high)),
        tuple(
            RunLine(number, " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in placed))
            for number, points in enumerate(curves)
            if (placed := thin_out(points, _POINTS))
        ),
        cut,
    )


def _find_range(curves: Sequence[Sequence[XY]]) -> tuple[float, float, bool]:
    """Return the range that a chart shows, and whether it cuts the highest values."""
    low = min(y for points in curves for _, y in points)
    tops = sorted(max(y for _, y in points) for points in curves)
    usual, high = tops[(len(tops) - 1) // 2], tops[-1]
    if high - low > 3 * (usual - low) > 0:
        return low, low + 1.2 * (usual - low), True
    return low, high, False


def lay_out_parallel(columns: Sequence[tuple[str, Sequence[object]]]) -> Parallel:
    """Lay out parallel coordinates; each column is a title and the value of every run or None.

    A run without the value of the last column, the metric, has no line.
    """
    step = (WIDTH - 2 * _EDGE) / max(1, len(columns) - 1)
    axes, places = [], []
    for number, (title, values) in enumerate(columns):
        scale, ticks = _make_axis(values)
        x = _EDGE + number * step
        anchor = "start" if number == len(columns) - 1 else "end"
        axes.append(Axis(title, x, anchor, ticks))
        places.append([(x, scale(value)) for value in values])
    lines = []
    for run, last in enumerate(columns[-1][1] if columns else ()):
        known = [(x, y) for x, y in (column[run] for column in places) if y is not None]
        if last is not None and len(known) > 1:
            lines.append(RunLine(run, " ".join(f"{x:.1f},{y:.1f}" for x, y in known)))
    return Parallel(tuple(axes), tuple(lines))


def _make_axis(
    values: Sequence[object],
) -> tuple[Callable[[object], float | None], tuple[Tick, ...]]:
    """Return the place of each value on an axis, and its labels."""
    numbers = [_number(value) for value in values]
    known = sorted({one for one in numbers if one is not None})
    texts = list(dict.fromkeys(str(value) for value in values if value is not None))
    if not known or any(a is None and b is not None for a, b in zip(numbers, values, strict=True)):
        rows = Scale(-0.5, len(texts) - 0.5, HEIGHT - _BOTTOM, _TOP + 14)
        places = {text: rows(float(row)) for row, text in enumerate(texts)}
        labels = texts if len(texts) <= 12 else texts[:: math.ceil(len(texts) / 12)]
        ticks = tuple(Tick(places[text], text[:24]) for text in labels)
        return (lambda value: places.get(str(value)) if value is not None else None), ticks
    logarithmic = known[0] > 0 and known[-1] / known[0] >= _LOG_RATIO

    def bend(value: float) -> float:
        return math.log10(value) if logarithmic else value

    low, high = bend(known[0]), bend(known[-1])
    spare = 0.0 if high > low else 1.0
    scale = Scale(low - spare, high + spare, HEIGHT - _BOTTOM, _TOP + 14)
    shown = known if len(known) <= 8 else _spread(low, high, logarithmic=logarithmic)
    digits = 4 if shown is known else 3
    ticks = _drop_close(Tick(scale(bend(value)), f"{value:.{digits}g}") for value in shown)

    def place(value: object) -> float | None:
        number = _number(value)
        return None if number is None else scale(bend(number))

    return place, ticks


def _drop_close(ticks: Iterable[Tick]) -> tuple[Tick, ...]:
    """Drop labels that would overlap the one before."""
    kept: list[Tick] = []
    for tick in ticks:
        if not kept or abs(tick.at - kept[-1].at) >= _LINE:
            kept.append(tick)
    return tuple(kept)


def _spread(low: float, high: float, *, logarithmic: bool) -> list[float]:
    values = [low + (high - low) * part / 5 for part in range(6)]
    return [10**value for value in values] if logarithmic else values


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
