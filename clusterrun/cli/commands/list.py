"""`clusterrun list`."""

from __future__ import annotations

import argparse

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.runs_table import print_runs
from clusterrun.run_status.listing import list_runs, parse_filter


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--state", default="", help="only runs in these states, such as running or failed,timeout"
    )
    parser.add_argument(
        "--since",
        default="",
        metavar="TIME",
        help="only runs that are active or ended within this time, such as 2d or 12h",
    )
    parser.add_argument(
        "--name",
        default="",
        metavar="GLOB",
        help="only runs whose name or id matches, such as 'gpt2*'",
    )
    parser.add_argument("--tag", default="", help="only runs with this word in slurm.comment")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the active runs, then those that have ended, each newest first."""
    statuses = list_runs(only=parse_filter(options.state, options.since, options.name, options.tag))
    if options.json:
        print_json([status.as_dict() for status in statuses])
    else:
        print_runs(statuses)
    return 0
