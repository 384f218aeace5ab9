"""`clusterrun requeue RUN`."""

from __future__ import annotations

import argparse

from clusterrun.cli.output.outcomes import add_run_options, print_state
from clusterrun.submission.requeuing import requeue

add_options = add_run_options


def run(options: argparse.Namespace) -> int:
    """Request a checkpoint and a restart in the same job from an active run."""
    return print_state(requeue(options.run), as_json=options.json)
