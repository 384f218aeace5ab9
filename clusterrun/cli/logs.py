"""`clusterrun logs RUN`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.logs import logs


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended, over requeues")
    parser.add_argument("--attempt", type=int, metavar="N", help="the output of this attempt (default: the last)")


def run(options: argparse.Namespace) -> int:
    """Print a run's output."""
    for piece in logs(options.run, attempt=options.attempt, follow=options.follow):
        sys.stdout.write(piece)
        sys.stdout.flush()
    return 0
