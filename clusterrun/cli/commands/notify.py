"""`clusterrun notify --test JOB.yaml`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.options import add_overrides, add_parameters, add_profile
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.planning.preparation import Request
from clusterrun.upkeep.notification import notify


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add(
        "--test",
        metavar="JOB.yaml|RUN",
        required=True,
        help="send a test message to every target of this spec or run",
    )
    add_overrides(parser)
    add_parameters(parser)
    add_profile(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Send a test message to each target; return 1 if one was not reached."""
    done = notify(options.test, Request(options.test, tuple(options.overrides), options.profile))
    if options.json:
        print_json({"failed": done.failed, "messages": done.messages})
    else:
        print("\n".join(done.messages), file=sys.stderr)
    return 1 if done.failed else 0
