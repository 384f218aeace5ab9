"""`clusterrun status [RUN]`: all active runs without RUN."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from clusterrun.cli.options import add_metric
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.runs_table import format_runs, print_runs
from clusterrun.cli.output.screen import print_table
from clusterrun.cli.output.status_text import HEADINGS, attempt_row, complete_status, format_status
from clusterrun.errors import Problem, SpecError
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.control import status
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import outlook

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from clusterrun.run_status.sweep_members import Row


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
    parser.add_argument(
        "--sort",
        metavar="KEY",
        help="the order of a sweep's members: best, last, loss, number, state, step, another "
        "metric, or a path (default: by the sweep's metric, or the last loss)",
    )
    add_metric(parser)
    parser.add_argument("--csv", action="store_true", help="print the members of a sweep as CSV")
    add_json(parser, ", with --watch one line per change")


def run(options: argparse.Namespace) -> int:
    """Print the status of a run and its attempts, or one line per task of an array or sweep."""
    if options.watch:
        from clusterrun.cli.output.status_watch import watch  # noqa: PLC0415 - only with --watch

        return watch(options.run, as_json=options.json, rows_of=partial(_read_sweep, options))
    active = [] if options.run is not None else _find_active_runs()
    if len(active) > 1 and not options.json:
        print_runs(active)
        return 0
    run_status = active[0] if active else status("last" if options.run is None else options.run)
    rows = _read_sweep(options, run_status) if run_status.tasks else []
    if options.csv:
        return _print_csv(run_status, rows)
    if options.json:
        others = {"active_runs": [one.as_dict() for one in active]} if options.run is None else {}
        table = {"members": [row.as_dict() for row in rows]} if rows else {}
        print_json({**complete_status(run_status), **table, **others})
        return 0
    if options.run is None and not active:
        print("no active runs; showing the most recent", file=sys.stderr)
    _print_status(run_status, rows)
    return 0


def _read_sweep(options: argparse.Namespace, run_status: RunStatus) -> list[Row]:
    """Return the members of a sweep; none for another array."""
    from clusterrun.run_status.sweep_members import read_sweep  # noqa: PLC0415 - only for a sweep

    return read_sweep(run_status, options.sort, metric=options.metric, goal=options.goal)


def _print_csv(run_status: RunStatus, rows: Sequence[Row]) -> int:
    if not rows:
        hint = "omit --csv; `clusterrun list --json` has all runs"
        raise SpecError([Problem("--csv", "", f"{run_status.run_id} is not a sweep", hint)])
    from clusterrun.cli.output.sweep_table import write_csv  # noqa: PLC0415 - only for a sweep

    sys.stdout.write(write_csv(rows))
    return 0


def _find_active_runs() -> list[RunStatus]:
    from clusterrun.run_status.listing import active_runs  # noqa: PLC0415 - not needed for a named run

    return active_runs()


def _print_status(run_status: RunStatus, rows: Sequence[Row]) -> None:
    print(format_status(run_status, outlook(run_status)))
    if rows:
        from clusterrun.cli.output.sweep_table import format_sweep  # noqa: PLC0415 - only for a sweep

        print("\n" + format_sweep(rows))
    elif run_status.tasks:
        print("\n" + format_runs(list(run_status.tasks)))
    attempts = list_attempts(RunPaths(Path(run_status.folder)))
    if attempts:
        print()
        print_table([HEADINGS, *(attempt_row(attempt, run_status) for attempt in attempts)])
