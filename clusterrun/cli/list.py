"""`clusterrun list`."""

from __future__ import annotations

import argparse
import json

from clusterrun.cli.table import in_columns
from clusterrun.track import list_runs
from clusterrun.written import RunStatus

_HEADINGS = ("RUN", "STATE", "JOB", "ATTEMPT", "STEP", "REASON")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(options: argparse.Namespace) -> int:
    """Print every run, the newest last."""
    found = list_runs()
    print(json.dumps([status.as_dict() for status in found]) if options.json else table(found))
    return 0


def table(found: list[RunStatus]) -> str:
    """Write runs for people, a line a run."""
    return in_columns([_HEADINGS, *map(_row, found)])


def _row(status: RunStatus) -> tuple[str, ...]:
    step = "" if status.step is None else f"{status.step}/{status.total}" if status.total else str(status.step)
    reason = "" if status.reason == "None" else status.reason
    return status.run_id, status.state.value, status.job_id, str(status.attempt or ""), step, reason
