"""`clusterrun resume RUN`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.submission.resuming import resume


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one value of the run's spec from now on, such as slurm.time=12:00:00; may be repeated",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument(
        "--parsable", action="store_true", help="print the run id and the job id only, as RUN;JOB"
    )
    add_json(shape)


def run(options: argparse.Namespace) -> int:
    """Queue a new attempt of a run that has stopped."""
    made = resume(options.run, options.overrides)
    if options.json:
        print_json({"run_id": made.run_id, "job_id": made.job_id, "folder": made.paths.folder})
    elif options.parsable:
        print(f"{made.run_id};{made.job_id}")
    else:
        print(made.run_id)
        told = f"goes on as {made.job_id}; run folder: {made.paths.folder}\n  clusterrun logs -f {made.run_id}"
        print(told, file=sys.stderr)
    return 0
