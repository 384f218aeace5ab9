"""The commands that compare runs."""

from __future__ import annotations

from typing import Literal

from clusterrun.api.runs import RunLike, find_name
from clusterrun.reporting.difference import RunDifference
from clusterrun.reporting.difference import diff as compare
from clusterrun.run_status import best_member
from clusterrun.run_status.best_member import BestMember


def diff(run: RunLike, other: RunLike | None = None) -> RunDifference:
    """Compare two runs, or the code of one with the files in its repository now.

    Raises SpecError if a run is not found, ClusterError without a record of the code, or if git
    cannot compare it.
    """
    return compare(find_name(run), None if other is None else find_name(other))


def best(
    run: RunLike, *, metric: str | None = None, goal: Literal["min", "max"] | None = None
) -> BestMember:
    """Return the best member of a sweep by its metric, or by another one, and its checkpoint.

    Without a metric, by the last loss. Raises SpecError for a run without members, ClusterError if
    none of them has logged the metric.
    """
    return best_member.best(find_name(run), metric=metric, goal=goal)
