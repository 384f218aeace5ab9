"""`clusterrun cancel RUN`."""

from __future__ import annotations

import argparse

from clusterrun.cli.output.outcomes import add_run_options, print_state
from clusterrun.run_status.control import cancel

add_options = add_run_options


def run(options: argparse.Namespace) -> int:
    """Cancel a run at once; a run that has ended stays as it is."""
    return print_state(cancel(options.run), as_json=options.json)
