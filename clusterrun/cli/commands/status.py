"""`clusterrun status [RUN]`: of all runs that live, where none is named."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.runs_table import print_runs, table
from clusterrun.cli.output.screen import print_table
from clusterrun.cli.output.status_answer import all_known
from clusterrun.cli.output.status_words import HEADINGS, in_words, row
from clusterrun.run_folder.attempts import list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.control import status
from clusterrun.run_status.forecast import outlook
from clusterrun.run_status.from_files import RunStatus


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
    """Print what a run does now, and what became of its attempts; of an array, a line a task."""
    if options.watch:
        from clusterrun.cli.output.status_watch import watch  # noqa: PLC0415 - only for those who wait

        return watch(options.run, as_json=options.json)
    living = [] if options.run is not None else _living()
    if options.json:
        others = (
            {} if options.run is not None else {"living": [found.as_dict() for found in living]}
        )
        print_json(
            {
                **all_known(
                    living[0] if living else status("last" if options.run is None else options.run)
                ),
                **others,
            }
        )
    elif len(living) > 1:
        print_runs(living)
    else:
        found = living[0] if living else status("last" if options.run is None else options.run)
        if options.run is None and not living:
            print("no run lives; this is the last one", file=sys.stderr)
        _show(found)
    return 0


def _living() -> list[RunStatus]:
    from clusterrun.run_status.listing import active_runs  # noqa: PLC0415 - if one run is named, no list is needed

    return active_runs()


def _show(found: RunStatus) -> None:
    print(in_words(found, outlook(found)))
    if found.tasks:
        print("\n" + table(list(found.tasks)))
    attempts = list_attempts(RunPaths(Path(found.folder)))
    if attempts:
        print()
        print_table([HEADINGS, *(row(attempt, found) for attempt in attempts)])
