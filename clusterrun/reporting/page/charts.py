"""The charts of the page as numbers for an SVG, by pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clusterrun.reporting.goodput import PARTS, AttemptTimeline
from clusterrun.reporting.page.scales import (
    Scale,
    choose_ticks,
    choose_time_ticks,
    format_time_tick,
)

WIDTH, HEIGHT = 560, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 16, 36
_MOST = 600  # points per line, more than a screen can show
LANE = 1140
"""Width of the timeline."""

XY = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A label on an axis, and its position."""

    at: float
    text: str


@dataclass(frozen=True)
class ChartLine:
    """An attempt's line, with the `points` of an SVG polyline."""

    kind: str
    """`kept`, or `lost` if a later attempt trained the steps again."""
    title: str
    points: str


@dataclass(frozen=True)
class Chart:
    """A line chart; `marks` are the starts of attempts."""

    name: str
    title: str
    x_title: str
    summary: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Tick, ...]
    lines: tuple[ChartLine, ...]


@dataclass(frozen=True)
class Segment:
    """A part of the timeline; `width` may be too small to see."""

    kind: str
    title: str
    at: float
    width: float


@dataclass(frozen=True)
class Series:
    """The points of attempts in a chart: steps that count, and steps that were trained again."""

    kept: Mapping[int, Sequence[XY]]
    lost: Mapping[int, Sequence[XY]]


def lay_out_chart(
    name: str,
    titles: tuple[str, str],
    series: Series,
    marks: Sequence[tuple[float, int]],
    *,
    times: bool,
) -> Chart:
    """Lay out a chart.

    `titles` are those of the chart and the x axis; `marks` are the starts of attempts; with
    `times`, x is in seconds.
    """
    every = [
        point for part in (series.kept, series.lost) for points in part.values() for point in points
    ]
    xs, ys = [x for x, _ in every], [y for _, y in every]
    low, high = (min(ys), max(ys)) if ys else (0.0, 1.0)
    spare = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    across = Scale(
        0.0 if times else min(xs, default=0.0), max(xs, default=1.0), _LEFT, WIDTH - _RIGHT
    )
    up = Scale(low - spare, high + spare, HEIGHT - _BOTTOM, _TOP)
    x_values = choose_time_ticks(across.high) if times else choose_ticks(across.low, across.high)
    return Chart(
        name=name,
        title=titles[0],
        x_title=titles[1],
        summary=f"from {ys[0]:.4g} to {ys[-1]:.4g}, between {low:.4g} and {high:.4g}"
        if ys
        else "no values",
        x_ticks=tuple(
            Tick(across(x), format_time_tick(x, x_values) if times else f"{x:g}") for x in x_values
        ),
        y_ticks=tuple(Tick(up(y), f"{y:.3g}") for y in choose_ticks(up.low, up.high)),
        marks=tuple(
            Tick(across(x), str(number)) for x, number in marks if across.low <= x <= across.high
        ),
        lines=tuple(_lay_out_lines(series, across, up)),
    )


def _lay_out_lines(series: Series, across: Scale, up: Scale) -> list[ChartLine]:
    lines = []
    for kind, words, part in (
        ("lost", ", trained again later", series.lost),
        ("kept", "", series.kept),
    ):
        for number, points in part.items():
            placed = " ".join(f"{across(x):g},{up(y):g}" for x, y in thin_out(points))
            lines.append(ChartLine(kind, f"attempt {number}{words}", placed))
    return [line for line in lines if line.points]


def thin_out(points: Sequence[XY], most: int = _MOST) -> list[XY]:
    """Drop points that are too close to distinguish; keep the first and the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def lay_out_timeline(
    stories: Sequence[AttemptTimeline], waits_since: float | None, until: float
) -> tuple[list[Segment], list[Tick], list[Tick]]:
    """Lay out a run over time; return segments, attempt numbers, and axis ticks."""
    start = min(
        (one.started_at if one.waiting_since is None else one.waiting_since for one in stories),
        default=waits_since or until,
    )
    start = start if waits_since is None else min(start, waits_since)
    across = Scale(start, max(until, start + 1), 0, LANE)
    segments = [segment for one in stories for segment in _make_segments(one, across)]
    if waits_since is not None and until > waits_since:
        segments.append(_make_segment("waiting", "", (waits_since, until), across))
    numbers = [
        Tick(across((one.started_at + one.ended_at) / 2), str(one.number))
        for one in stories
        if across(one.ended_at) - across(one.started_at) > 18
    ]
    values = choose_time_ticks(until - start, 10)
    return (
        segments,
        numbers,
        [Tick(across(start + value), format_time_tick(value, values)) for value in values],
    )


def _make_segments(one: AttemptTimeline, across: Scale) -> list[Segment]:
    if one.time_split.unknown:
        spans = [("unknown", one.started_at, one.ended_at)]
    else:
        first = one.trained_until if one.first_step_at is None else one.first_step_at
        lost = one.trained_until if one.lost_since is None else one.lost_since
        spans = [
            ("startup", one.started_at, first),
            ("productive", first, lost),
            ("lost", lost, one.trained_until),
            ("shutdown", one.trained_until, one.ended_at),
        ]
    if one.waiting_since is not None:
        spans.insert(0, ("waiting", one.waiting_since, one.started_at))
    return [
        _make_segment(kind, f"attempt {one.number}: ", (start, end), across)
        for kind, start, end in spans
        if end > start
    ]


def _make_segment(kind: str, whose: str, span: tuple[float, float], across: Scale) -> Segment:
    start, end = across(span[0]), across(span[1])
    return Segment(
        kind, f"{whose}{PARTS[kind]}, {span[1] - span[0]:.0f} s", start, round(end - start, 1)
    )
