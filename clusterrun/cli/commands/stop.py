"""`clusterrun stop RUN`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.run_status.control import stop
from clusterrun.slurm.states import State


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Ask a run to save and leave; one that has ended already is left as it is."""
    found = stop(options.run)
    state = "" if found.state is State.NO_ANSWER else f"{found.state.value}: "
    print(f"{found.run_id}: {state}{found.reason}", file=sys.stderr)
    if options.json:
        print_json(found.as_dict())
    return 0
