"""`clusterrun stop RUN`."""

from __future__ import annotations

import argparse

from clusterrun.cli.output.outcomes import add_run_options, print_state
from clusterrun.run_status.control import stop
from clusterrun.slurm.states import State

add_options = add_run_options


def run(options: argparse.Namespace) -> int:
    """Request a checkpoint and exit from a run; a run that has ended stays as it is."""
    status = stop(options.run)
    with_state = status.state is not State.UNKNOWN
    return print_state(status, as_json=options.json, with_state=with_state)
