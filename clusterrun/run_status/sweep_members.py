"""The members of a sweep with their status and the value that compares them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.results import SweepMember
from clusterrun.run_folder.members import read_members
from clusterrun.run_folder.metric_values import LOSS
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.metric_choice import Metric, choose_metric, sort_by_value

SORT_KEYS = ("best", "last", "loss", "number", "state", "step")


@dataclass(frozen=True)
class Row:
    """One member with its status."""

    member: SweepMember
    status: RunStatus
    metric: Metric

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        values = self.status.as_dict()
        kept = ("run_id", "state", "reason", "step", "total_steps", "loss", "folder")
        best = self.metric.best(self.status)
        last = self.metric.last(self.status)
        return {
            "number": self.member.number,
            "name": self.member.name,
            "values": self.member.values,
            **{key: values[key] for key in kept},
            "metric": self.metric.name,
            "last": last if last is not None and math.isfinite(last) else None,
            "best": best[0] if best else None,
            "best_step": best[1] if best else None,
        }


def read_sweep(
    found: RunStatus,
    sort: str | None = None,
    *,
    metric: str | None = None,
    goal: str | None = None,
) -> list[Row]:
    """Return the sorted members of a sweep; none for another run.

    Raises SpecError if `sort` is not a column.
    """
    if not found.tasks:
        return []
    paths = RunPaths(Path(found.folder))
    members = read_members(paths)
    return sweep_rows(found, members, sort, choose_metric(paths, metric, goal)) if members else []


def sweep_rows(
    found: RunStatus,
    members: Sequence[SweepMember],
    sort: str | None = None,
    metric: Metric | None = None,
) -> list[Row]:
    """Return the members with their status, sorted; a member without the value comes last.

    `sort` is one of SORT_KEYS, a metric's name, or a path; by default the value of the metric.
    Raises SpecError for anything else.
    """
    metric = metric or Metric()
    tasks = {task.run_id: task for task in found.tasks}
    rows = [
        Row(one, task, metric)
        for one in members
        if (task := tasks.get(f"{found.run_id}-{one.number}")) is not None
    ]
    key = _find_column(sort, rows, list_paths(members))
    return sorted(rows, key=lambda row: (*_sort_key(row, key), row.member.number))


def list_paths(members: Sequence[SweepMember]) -> list[str]:
    """List the paths that the members set, in the order of the sweep."""
    return [*dict.fromkeys(path for one in members for path in one.values)]


def shorten(path: str) -> str:
    """Return a path as the heading of a column."""
    return path.removeprefix("args.").removeprefix("environment.variables.")


def _find_column(sort: str | None, rows: Sequence[Row], paths: Sequence[str]) -> str:
    """Return the column to sort by, as `_sort_key` has it. Raises SpecError if it is unknown."""
    names = {shorten(path): path for path in paths} | {path: path for path in paths}
    metrics = {name for row in rows for name in (row.metric.name, *row.status.metrics)}
    if sort is None or sort in SORT_KEYS:
        return sort or "value"
    if sort in names:
        return names[sort]
    if sort in metrics:
        return f"metric {sort}"
    keys = [*SORT_KEYS, *paths, *sorted(metrics - {LOSS})]
    raise SpecError(
        [Problem("--sort", "", f"{sort!r} is not a column", f"use one of {', '.join(keys)}")]
    )


def _sort_key(row: Row, column: str) -> tuple[int, float, str]:
    status, metric = row.status, row.metric
    descending = metric.goal == "max"
    if column == "value":
        return sort_by_value(metric.value(status), descending=descending)
    if column == "best":
        best = metric.best(status)
        return sort_by_value(best[0] if best else None, descending=descending)
    if column == "last":
        return sort_by_value(metric.last(status), descending=descending)
    if column.startswith("metric "):
        name = column.removeprefix("metric ")
        own = Metric(name).last(status)
        return sort_by_value(own, descending=descending and name == metric.name)
    facts = {"number": row.member.number, "loss": status.loss, "step": status.step}
    value = status.state.value if column == "state" else row.member.values.get(column)
    return sort_by_value(facts.get(column, value))
