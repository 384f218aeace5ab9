"""The commands that compare runs."""

from __future__ import annotations

from clusterrun.api.runs import RunLike, find_name
from clusterrun.reporting.difference import RunDifference
from clusterrun.reporting.difference import diff as compare


def diff(run: RunLike, other: RunLike | None = None) -> RunDifference:
    """Compare two runs, or the code of one with the files in its repository now.

    Raises SpecError if a run is not found, ClusterError without a record of the code, or if git
    cannot compare it.
    """
    return compare(find_name(run), None if other is None else find_name(other))
