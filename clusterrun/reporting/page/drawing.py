"""A run's report as one HTML page, rendered with Jinja2.

The spec, the script and all names come from others: every value is escaped, and the page may load
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import jinja2

from clusterrun.planning.template_folders import template_folder
from clusterrun.reporting.goodput import PARTS
from clusterrun.reporting.page.charts import (
    HEIGHT,
    LANE,
    WIDTH,
    Chart,
    Series,
    lay_out_chart,
    lay_out_timeline,
)
from clusterrun.reporting.run_report import RunReport
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.metrics import Point
from clusterrun.units import format_clock
from clusterrun.version import __version__

Value = Callable[[Point], float | None]


def render_page(run_report: RunReport) -> str:
    """Return the page."""
    environment = make_environment()
    until = max((one.ended_at for one in run_report.timeline), default=0.0)
    until = until if run_report.status.state.final and until else time.time()
    waits = _find_waiting_since(run_report)
    segments, numbers, ticks = lay_out_timeline(run_report.timeline, waits, until)
    return environment.get_template("report.html.j2").render(
        run=run_report,
        status=run_report.status,
        split=run_report.time_split,
        parts=list_parts(run_report),
        charts=lay_out_charts(run_report),
        segments=segments,
        numbers=numbers,
        ticks=ticks,
        width=WIDTH,
        height=HEIGHT,
        lane=LANE,
        names=PARTS,
        steps_lost=sum(one.steps_lost or 0 for one in run_report.attempts),
        version=__version__,
        now=time.time(),
        last_loss=next(
            (point.loss for point in reversed(run_report.curve) if point.loss is not None), None
        ),
    )


def make_environment() -> jinja2.Environment:
    """Return the environment of pages, which escapes every value."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["span"] = format_clock
    environment.filters["local"] = format_moment
    return environment


def list_parts(run_report: RunReport) -> list[tuple[str, str, float, float]]:
    """Return the nonzero parts of the wall clock time: kind, name, seconds, share."""
    wall = run_report.time_split.wall or 1.0
    every = [
        (kind, words, float(getattr(run_report.time_split, kind))) for kind, words in PARTS.items()
    ]
    return [(kind, words, seconds, seconds / wall) for kind, words, seconds in every if seconds > 0]


def lay_out_charts(run_report: RunReport) -> list[Chart]:
    """Lay out the curves over steps and over time; a value that was never logged has no chart."""
    zero = min(
        (
            one.started_at if one.waiting_since is None else one.waiting_since
            for one in run_report.timeline
        ),
        default=0.0,
    )
    definitions: list[tuple[str, str, Value, bool]] = [
        ("loss-steps", "Loss over steps", lambda point: point.loss, False),
        ("loss-time", "Loss over time", lambda point: point.loss, True),
        ("rate-steps", "Learning rate over steps", lambda point: point.learning_rate, False),
        ("rate-time", "Learning rate over time", lambda point: point.learning_rate, True),
        ("speed-steps", "Throughput over steps, samples/s", lambda point: point.rate, False),
        ("speed-time", "Throughput over time, samples/s", lambda point: point.rate, True),
    ]
    charts = []
    for name, title, value, times in definitions:
        series = _make_series(run_report, value, zero if times else None)
        if any(series.kept.values()):
            titles = title, "time since submission" if times else "optimizer steps"
            charts.append(
                lay_out_chart(
                    name,
                    titles,
                    series,
                    _find_attempt_marks(run_report, zero, times=times),
                    times=times,
                )
            )
    return charts


def format_moment(moment: float | None) -> str:
    """Format a time in local time, with its zone."""
    return "" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment))


def _make_series(run_report: RunReport, y: Value, zero: float | None) -> Series:
    """Return the series of a chart, over seconds since `zero` or, without it, over steps."""

    def x(point: Point) -> float:
        return float(point.step) if zero is None else point.time - zero

    kept, lost = {}, {}
    for index, (one, measure) in enumerate(
        zip(run_report.attempts, run_report.measures, strict=True)
    ):
        until = _find_repeated_step(run_report.attempts[index + 1 :])
        placed = [
            (point.step, (x(point), value))
            for point in measure.points
            if (value := y(point)) is not None
        ]
        kept[one.number] = [place for step, place in placed if until is None or step <= until]
        lost[one.number] = [place for step, place in placed if until is not None and step > until]
        lost[one.number] = [*kept[one.number][-1:], *lost[one.number]] if lost[one.number] else []
    return Series(kept, lost)


def _find_repeated_step(later: tuple[Attempt, ...]) -> int | None:
    """Return the step after which later attempts trained again; None without such an attempt."""
    return min(
        (one.resumed_from_step for one in later if one.resumed_from_step is not None), default=None
    )


def _find_attempt_marks(
    run_report: RunReport, zero: float, *, times: bool
) -> list[tuple[float, int]]:
    if times:
        return [(one.started_at - zero, one.number) for one in run_report.timeline[1:]]
    return [
        (float(one.resumed_from_step), one.number)
        for one in run_report.attempts[1:]
        if one.resumed_from_step is not None
    ]


def _find_waiting_since(run_report: RunReport) -> float | None:
    """Return when an active run's wait for its next attempt started."""
    if run_report.status.state.final:
        return None
    last = run_report.timeline[-1] if run_report.timeline else None
    since = [
        moment for moment, after in run_report.submissions if last is None or after >= last.number
    ]
    return since[-1] if since else last.ended_at if last else None
