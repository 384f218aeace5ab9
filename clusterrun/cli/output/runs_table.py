"""Runs as a table, one row per run."""

from __future__ import annotations

from collections.abc import Sequence

from clusterrun.cli.output.screen import format_columns, print_table, style_of
from clusterrun.run_status.file_status import RunStatus
from clusterrun.slurm.states import State

_HEADINGS = ("RUN", "STATE", "JOB", "ATTEMPT", "STEP", "REASON")


def print_runs(statuses: Sequence[RunStatus]) -> None:
    """Print runs as a table."""
    print_table(
        [_HEADINGS, *map(_run_row, statuses)],
        {state.value: style_of(state.value) for state in State},
    )


def format_runs(statuses: Sequence[RunStatus]) -> str:
    """Format runs as plain columns."""
    return format_columns([_HEADINGS, *map(_run_row, statuses)])


def _run_row(status: RunStatus) -> tuple[str, ...]:
    step = (
        ""
        if status.step is None
        else f"{status.step}/{status.total_steps}"
        if status.total_steps
        else str(status.step)
    )
    reason = "" if status.reason == "None" else status.reason
    return status.run_id, status.state.value, status.job_id, str(status.attempt or ""), step, reason
