"""`clusterrun cancel RUN`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.run_status.control import cancel


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """End a run at once; one that has ended already is left as it is."""
    found = cancel(options.run)
    print(f"{found.run_id}: {found.state.value}: {found.reason}", file=sys.stderr)
    if options.json:
        print_json(found.as_dict())
    return 0
