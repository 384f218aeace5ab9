"""The comparison of several runs as one HTML page; every value is escaped, nothing is loaded."""

from __future__ import annotations

import time
from collections import Counter

from clusterrun.reporting.comparison import ComparedRun, Curves, RunComparison
from clusterrun.reporting.page.comparison_charts import (
    HEIGHT,
    WIDTH,
    choose_colours,
    lay_out_curves,
    lay_out_parallel,
)
from clusterrun.reporting.page.drawing import make_environment
from clusterrun.run_folder.metric_values import LOSS
from clusterrun.run_status.metric_choice import format_value
from clusterrun.version import __version__

_MOST_AXES = 9


def render_comparison(comparison: RunComparison) -> str:
    """Return the page: the parallel coordinates, the curves, and the table."""
    runs, metric = comparison.runs, comparison.metric
    paths = list(dict.fromkeys(path for run in runs for path in run.values))
    columns = [(path, [run.values.get(path) for run in runs]) for path in paths]
    environment = make_environment()
    environment.filters["metric"] = format_value
    curves = [comparison.curves.get(run.run_id, Curves()) for run in runs]
    charts = [
        lay_out_curves("metric", f"{metric.name} over steps", [one.metric for one in curves]),
        lay_out_curves("loss", "Loss over steps", [one.loss for one in curves]),
    ]
    return environment.get_template("comparison.html.j2").render(
        title=comparison.title,
        metric=metric,
        has_metric=metric.name != LOSS,
        runs=runs,
        paths=paths,
        colours=choose_colours(len(runs)),
        states=Counter(run.state.value for run in runs).most_common(),
        best=next((run for run in runs if _value(run, comparison) is not None), None),
        charts=[chart for chart in charts if chart.lines],
        parallel=lay_out_parallel(
            [*columns[:_MOST_AXES], (metric.name, [_value(run, comparison) for run in runs])]
        )
        if columns
        else None,
        axes_left_out=max(0, len(columns) - _MOST_AXES),
        width=WIDTH,
        height=HEIGHT,
        names=(),
        version=__version__,
        now=time.time(),
    )


def _value(run: ComparedRun, comparison: RunComparison) -> float | None:
    return run.best if comparison.metric.by_best else run.last
