"""`clusterrun status [RUN]`: all active runs without RUN."""

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
        "run",
        metavar="RUN",
        nargs="?",
        help="the run (default: all active runs, or the most recent one)",
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="update the status until the run has ended; Slurm is queried once a minute",
    )
    add_json(parser, ", with --watch one line per change")


def run(options: argparse.Namespace) -> int:
    """Print the status of a run and its attempts, or one line per task of an array."""
    if options.watch:
        from clusterrun.cli.output.status_watch import watch  # noqa: PLC0415 - only with --watch

        return watch(options.run, as_json=options.json)
    active = [] if options.run is not None else _find_active_runs()
    if len(active) > 1 and not options.json:
        print_runs(active)
        return 0
    run_status = active[0] if active else status("last" if options.run is None else options.run)
    if options.json:
        others = {"active_runs": [one.as_dict() for one in active]} if options.run is None else {}
        print_json({**complete_status(run_status), **others})
        return 0
    if options.run is None and not active:
        print("no active runs; showing the most recent", file=sys.stderr)
    _print_status(run_status)
    return 0


def _find_active_runs() -> list[RunStatus]:
    from clusterrun.run_status.listing import active_runs  # noqa: PLC0415 - not needed for a named run

    return active_runs()


def _print_status(run_status: RunStatus) -> None:
    print(format_status(run_status, outlook(run_status)))
    if run_status.tasks:
        print("\n" + format_runs(list(run_status.tasks)))
    attempts = list_attempts(RunPaths(Path(run_status.folder)))
    if attempts:
        print()
        print_table([HEADINGS, *(attempt_row(attempt, run_status) for attempt in attempts)])
