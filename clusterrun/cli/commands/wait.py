"""`clusterrun wait RUN`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.options import timeout_option
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.status_text import format_status
from clusterrun.errors import Problem
from clusterrun.run_status.control import wait
from clusterrun.slurm.states import State


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    add_json(parser)
    parser.add_argument(
        "--timeout",
        type=timeout_option,
        metavar="TIME",
        help="give up after this time, such as 90s, 30min or 2h, with exit code 124",
    )


def run(options: argparse.Namespace) -> int:
    """Wait until a run has ended; return 0 if it completed, else 1."""
    try:
        status = wait(options.run, options.timeout)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        if options.json:
            print_json({"problems": [Problem("--timeout", "", str(error))]})
        return 124
    if options.json:
        print_json(status.as_dict())
    else:
        print(format_status(status))
    return 0 if status.state is State.COMPLETED else 1
