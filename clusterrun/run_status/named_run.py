"""Find a run by its name, if several runs have that name as well."""

from __future__ import annotations

import time

from clusterrun.errors import Problem, SpecError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.units import format_age

_MOST_LISTED = 10


def find_run(name: str, index: Index | None = None) -> RunRef:
    """Find a run like `Index.find`; of several runs with this name, return the only active one.

    Raises SpecError if no run matches, or if several match and not exactly one is active.
    """
    index = index or Index()
    names = index.names()
    if name == "last" and not names:
        hint = "submit one with `clusterrun submit JOB.yaml`"
        raise SpecError([Problem("", "", "no runs yet", hint)])
    try:
        return index.find(name)
    except SpecError:
        matching = [run_id for run_id in names if name and run_id.startswith(name)]
        if len(matching) < 2:
            raise
        return _choose_run(name, matching, index)


def _choose_run(name: str, matching: list[str], index: Index) -> RunRef:
    """Return the only active run of this name; raise SpecError with a list of all otherwise."""
    from clusterrun.run_status.listing import SUFFIX, RunFilter, list_runs  # noqa: PLC0415 - rare

    statuses = [
        one for one in list_runs(index, RunFilter(name=f"{name}*")) if one.run_id in matching
    ]
    active = [one for one in statuses if not one.state.final]
    if len(active) == 1 and all(SUFFIX.sub("", run_id) == name for run_id in matching):
        return index.run(active[0].run_id)
    rows = []
    for one in statuses[:_MOST_LISTED]:
        since = one.ended_at or one.submitted_at
        age = f", {format_age(time.time() - since)} ago" if since else ""
        rows.append(f"{one.run_id} ({one.state.value}{age})")
    more = len(statuses) - len(rows)
    listed = ", ".join([*rows, *([f"and {more} more"] if more else [])])
    what = f"{len(matching)} runs match {name!r}"
    raise SpecError([Problem("", "", what, f"name one of them: {listed}")])
