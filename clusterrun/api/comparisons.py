"""The commands that compare runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clusterrun.api.runs import RunLike, find_name
from clusterrun.reporting.comparison import ComparedRun, compare_runs
from clusterrun.reporting.difference import RunDifference
from clusterrun.reporting.difference import diff as find_difference
from clusterrun.reporting.page.comparison_page import render_comparison
from clusterrun.reporting.run_report import write_page
from clusterrun.run_status import best_member
from clusterrun.run_status.best_member import BestMember


def diff(run: RunLike, other: RunLike | None = None) -> RunDifference:
    """Compare two runs, or the code of one with the files in its repository now.

    Raises SpecError if a run is not found, ClusterError without a record of the code, or if git
    cannot compare it.
    """
    return find_difference(find_name(run), None if other is None else find_name(other))


def best(
    run: RunLike, *, metric: str | None = None, goal: Literal["min", "max"] | None = None
) -> BestMember:
    """Return the best member of a sweep by its metric, or by another one, and its checkpoint.

    Without a metric, by the last loss. Raises SpecError for a run without members, ClusterError if
    none of them has logged the metric.
    """
    return best_member.best(find_name(run), metric=metric, goal=goal)


def compare(
    *runs: RunLike,
    metric: str | None = None,
    goal: Literal["min", "max"] | None = None,
    html: str | Path | None = None,
) -> tuple[ComparedRun, ...]:
    """Return runs, or the members of a sweep, the best first, with the values that differ.

    `html` is a file for a page with their curves. Raises SpecError for fewer than two runs,
    ClusterError if the page cannot be written.
    """
    names = [find_name(run) for run in runs]
    found = compare_runs(names, metric=metric, goal=goal, curves=html is not None)
    if html is not None:
        write_page(Path(html), render_comparison(found))
    return found.runs
