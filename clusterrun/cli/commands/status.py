"""`clusterrun status [RUN]`: without RUN, of all active runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.runs_table import format_runs, print_runs
from clusterrun.cli.output.screen import print_table
from clusterrun.cli.output.status_text import HEADINGS, attempt_row, complete_status, format_status
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.control import status
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import outlook


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run", metavar="RUN", nargs="?", help="without it, all runs that live, or the last one"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="go on until it has ended; Slurm is asked once a minute",
    )
    add_json(parser, ", with --watch a line for each change")


def run(options: argparse.Namespace) -> int:
    """Print the status of a run and its attempts; of an array, a line a task."""
    if options.watch:
        from clusterrun.cli.output.status_watch import watch  # noqa: PLC0415 - only for those who wait

        return watch(options.run, as_json=options.json)
    active = [] if options.run is not None else _find_active_runs()
    if len(active) > 1 and not options.json:
        print_runs(active)
        return 0
    found = active[0] if active else status("last" if options.run is None else options.run)
    if options.json:
        others = {"active_runs": [one.as_dict() for one in active]} if options.run is None else {}
        print_json({**complete_status(found), **others})
        return 0
    if options.run is None and not active:
        print("no run lives; this is the last one", file=sys.stderr)
    _print_status(found)
    return 0


def _find_active_runs() -> list[RunStatus]:
    from clusterrun.run_status.listing import active_runs  # noqa: PLC0415 - if one run is named, no list is needed

    return active_runs()


def _print_status(found: RunStatus) -> None:
    print(format_status(found, outlook(found)))
    if found.tasks:
        print("\n" + format_runs(list(found.tasks)))
    attempts = list_attempts(RunPaths(Path(found.folder)))
    if attempts:
        print()
        print_table([HEADINGS, *(attempt_row(attempt, found) for attempt in attempts)])
