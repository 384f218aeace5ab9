"""A sweep as a table: one row per member, with its values, its state, its step and its metric."""

from __future__ import annotations

from collections.abc import Sequence

from clusterrun.cli.output.screen import format_columns
from clusterrun.results import SweepMember
from clusterrun.run_folder.metric_values import LOSS
from clusterrun.run_status.metric_choice import format_value
from clusterrun.run_status.sweep_members import Row, list_paths, shorten


def format_members(members: Sequence[SweepMember]) -> str:
    """Format the members of a sweep that is not queued yet."""
    paths = list_paths(members)
    heading = ("MEMBER", "NAME", *map(shorten, paths))
    rows = [
        (str(one.number), one.name, *(one.values.get(path, "") for path in paths))
        for one in members
    ]
    return format_columns([heading, *rows])


def format_sweep(rows: Sequence[Row]) -> str:
    """Format the members of a sweep for people."""
    paths = list_paths([row.member for row in rows])
    name = rows[0].metric.name
    metric = () if name == LOSS else (name.upper(),)
    heading = ("MEMBER", *map(shorten, paths), "STATE", "STEP", "LOSS", *metric, "BEST", "AT STEP")
    return format_columns([(*heading, "REASON"), *(_cells(row, paths) for row in rows)])


def write_csv(rows: Sequence[Row]) -> str:
    """Return the members of a sweep as CSV, with the complete paths as headings."""
    import csv  # noqa: PLC0415 - only with --csv
    import io  # noqa: PLC0415 - only with --csv

    paths = list_paths([row.member for row in rows])
    name = rows[0].metric.name
    metric = [] if name == LOSS else [name]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    facts = ["state", "step", "total_steps", "loss", *metric, "best", "best_step"]
    writer.writerow(["run_id", "name", *paths, *facts])
    for row in rows:
        writer.writerow(_csv_cells(row, paths))
    return file.getvalue()


def _csv_cells(row: Row, paths: Sequence[str]) -> list[object]:
    status, values = row.status, row.member.values
    last = [] if row.metric.name == LOSS else [row.metric.last(status)]
    best = row.metric.best(status) or (None, None)
    facts = (status.step, status.total_steps, status.loss, *last, *best)
    return [
        status.run_id,
        row.member.name,
        *(values.get(path, "") for path in paths),
        status.state.value,
        *("" if one is None else one for one in facts),
    ]


def _cells(row: Row, paths: Sequence[str]) -> tuple[str, ...]:
    status = row.status
    step = "" if status.step is None else str(status.step)
    step += f"/{status.total_steps}" if step and status.total_steps else ""
    last = () if row.metric.name == LOSS else (format_value(row.metric.last(status)),)
    best, at = row.metric.best(status) or (None, None)
    return (
        str(row.member.number),
        *(row.member.values.get(path, "") for path in paths),
        status.state.value,
        step,
        format_value(status.loss),
        *last,
        format_value(best),
        "" if at is None else str(at),
        "" if status.reason == "None" else status.reason,
    )
