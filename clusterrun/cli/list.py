"""`clusterrun list`."""

from __future__ import annotations

import argparse
import json

from clusterrun.cli.screen import print_table, style_of
from clusterrun.cli.table import in_columns
from clusterrun.listing import list_runs, wanted
from clusterrun.slurm.states import State
from clusterrun.written import RunStatus

_HEADINGS = ("RUN", "STATE", "JOB", "ATTEMPT", "STEP", "REASON")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--state", default="", help="only runs in this state, such as RUNNING; several with commas")
    parser.add_argument("--since", default="", metavar="TIME", help="only runs that live, or did since then: 2d, 12h")
    parser.add_argument("--name", default="", metavar="GLOB", help="only runs whose name or id fits, such as 'gpt2*'")
    parser.add_argument("--tag", default="", help="only runs with this word in slurm.comment")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(options: argparse.Namespace) -> int:
    """Print runs: first those that live, the newest first; then those that have ended, likewise."""
    found = list_runs(only=wanted(options.state, options.since, options.name, options.tag))
    if options.json:
        print(json.dumps([status.as_dict() for status in found]))
    else:
        print_table(rows_of(found), {state.value: style_of(state.value) for state in State})
    return 0


def table(found: list[RunStatus]) -> str:
    """Write runs for people, a line a run."""
    return in_columns(rows_of(found))


def rows_of(found: list[RunStatus]) -> list[tuple[str, ...]]:
    """Return the rows of a table of runs, the headings first."""
    return [_HEADINGS, *map(_row, found)]


def _row(status: RunStatus) -> tuple[str, ...]:
    step = "" if status.step is None else f"{status.step}/{status.total}" if status.total else str(status.step)
    reason = "" if status.reason == "None" else status.reason
    return status.run_id, status.state.value, status.job_id, str(status.attempt or ""), step, reason
