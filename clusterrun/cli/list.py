"""`clusterrun list`."""

from __future__ import annotations

import argparse
import json

from clusterrun.track import RunStatus, list_runs

_HEADINGS = ("RUN", "STATE", "JOB", "ATTEMPT", "STEP", "REASON")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def run(options: argparse.Namespace) -> int:
    """Print every run, the newest last."""
    found = list_runs()
    if options.json:
        print(json.dumps([status.as_dict() for status in found]))
        return 0
    rows = [_HEADINGS, *map(_row, found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(status: RunStatus) -> tuple[str, ...]:
    step = "" if status.step is None else f"{status.step}/{status.total}" if status.total else str(status.step)
    reason = "" if status.reason == "None" else status.reason
    return status.run_id, status.state.value, status.job_id, str(status.attempt or ""), step, reason
