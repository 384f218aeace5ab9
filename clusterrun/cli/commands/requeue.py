"""`clusterrun requeue RUN`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.submission.requeuing import requeue


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Let a running run save, leave, and come back in the same job."""
    found = requeue(options.run)
    print(f"{found.run_id}: {found.state.value}: {found.reason}", file=sys.stderr)
    if options.json:
        print_json(found.as_dict())
    return 0
