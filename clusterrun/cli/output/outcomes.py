"""Options and output of the commands that control a run."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.run_folder.index import RunRef
from clusterrun.run_status.file_status import RunStatus


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the run and `--json`."""
    parser.add_argument("run", metavar="RUN")
    add_json(parser)


def print_state(status: RunStatus, *, as_json: bool, with_state: bool = True) -> int:
    """Print a run's state after a request on stderr, and JSON on stdout; return 0."""
    state = f"{status.state.value}: " if with_state else ""
    print(f"{status.run_id}: {state}{status.reason}", file=sys.stderr)
    if as_json:
        print_json(status.as_dict())
    return 0


def add_submission_options(parser: argparse.ArgumentParser) -> None:
    """Add `--parsable` and `--json`, which exclude each other."""
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--parsable", action="store_true", help="print only the run id and the job id, as RUN;JOB"
    )
    add_json(shape)


def print_submission(submitted: RunRef, options: argparse.Namespace, next_commands: str) -> int:
    """Print a submitted run, for people with the next commands; return 0."""
    if options.json:
        print_json(
            {
                "run_id": submitted.run_id,
                "job_id": submitted.job_id,
                "folder": submitted.paths.folder,
            }
        )
    elif options.parsable:
        print(f"{submitted.run_id};{submitted.job_id}")
    else:
        print(submitted.run_id)
        print(next_commands, file=sys.stderr)
    return 0
