"""`clusterrun best SWEEP`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.options import add_metric
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.run_status.best_member import BestMember, best


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", help="the sweep, or a job array")
    add_metric(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the best member of a sweep, its folder and its checkpoint."""
    found = best(options.run, metric=options.metric, goal=options.goal)
    if options.json:
        print_json(found.as_dict())
        return 0
    _print_member(found)
    return 0


def _print_member(found: BestMember) -> None:
    at = f" at step {found.value_step}" if found.value_step is not None else ""
    facts = {
        "run": found.run_id,
        "values": " ".join(f"{path}={value}" for path, value in found.values.items()),
        "state": found.state.value,
        found.metric: f"{found.value:.6g}{at}",
        "folder": found.folder,
        "checkpoint": found.checkpoint or "none yet",
    }
    width = max(12, max(map(len, facts)) + 2)
    print("\n".join(f"{name:<{width}}{value}" for name, value in facts.items() if value))
    if found.checkpoint and found.value_step not in (None, found.checkpoint_step):
        print(
            f"note: no checkpoint of step {found.value_step}; this one is the newest, of step "
            f"{found.checkpoint_step}",
            file=sys.stderr,
        )
