"""Runs as a table, one row per run."""

from __future__ import annotations

from collections.abc import Sequence

from clusterrun.cli.output.screen import format_columns, print_table, style_of
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.metric_choice import Metric, format_value
from clusterrun.slurm.states import State


def print_runs(statuses: Sequence[RunStatus], metric: Metric | None = None) -> None:
    """Print runs as a table, with the last and the best value of a metric, by default the loss."""
    print_table(
        _make_rows(statuses, metric or Metric()),
        {state.value: style_of(state.value) for state in State},
    )


def format_runs(statuses: Sequence[RunStatus]) -> str:
    """Format runs as plain columns."""
    return format_columns(_make_rows(statuses, Metric()))


def _make_rows(statuses: Sequence[RunStatus], metric: Metric) -> list[tuple[str, ...]]:
    heading = ("RUN", "STATE", "JOB", "ATTEMPT", "STEP", metric.name.upper(), "BEST", "REASON")
    return [heading, *(_run_row(status, metric) for status in statuses)]


def _run_row(status: RunStatus, metric: Metric) -> tuple[str, ...]:
    step = (
        ""
        if status.step is None
        else f"{status.step}/{status.total_steps}"
        if status.total_steps
        else str(status.step)
    )
    reason = "" if status.reason == "None" else status.reason
    best = metric.best(status)
    return (
        status.run_id,
        status.state.value,
        status.job_id,
        str(status.attempt or ""),
        step,
        format_value(metric.last(status)),
        format_value(best[0] if best else None),
        reason,
    )
