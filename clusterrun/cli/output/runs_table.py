"""Runs as a table, a row a run."""

from __future__ import annotations

from collections.abc import Sequence

from clusterrun.cli.output.screen import print_table, style_of
from clusterrun.cli.output.table import in_columns
from clusterrun.run_status.from_files import RunStatus
from clusterrun.slurm.states import State

_HEADINGS = ("RUN", "STATE", "JOB", "ATTEMPT", "STEP", "REASON")


def print_runs(found: Sequence[RunStatus]) -> None:
    """Print runs for people."""
    print_table(
        [_HEADINGS, *map(_row, found)], {state.value: style_of(state.value) for state in State}
    )


def table(found: Sequence[RunStatus]) -> str:
    """Write the same as plain columns."""
    return in_columns([_HEADINGS, *map(_row, found)])


def _row(status: RunStatus) -> tuple[str, ...]:
    step = (
        ""
        if status.step is None
        else f"{status.step}/{status.total}"
        if status.total
        else str(status.step)
    )
    reason = "" if status.reason == "None" else status.reason
    return status.run_id, status.state.value, status.job_id, str(status.attempt or ""), step, reason
