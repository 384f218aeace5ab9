"""`clusterrun notify --test JOB.yaml`."""

from __future__ import annotations

import argparse
import sys

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
        help="send a test message to every place that it names",
    )
    add(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="as for submit",
    )
    add(
        "--profile",
        help="the site's defaults (default: CLUSTERRUN_PROFILE, ~/.config/clusterrun/profile.yaml)",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Send a test of a run's notifications; 1 where a place was not reached."""
    done = notify(options.test, Request(options.test, tuple(options.overrides), options.profile))
    if options.json:
        print_json({"missed": done.missed, "words": done.words})
    else:
        print("\n".join(done.words), file=sys.stderr)
    return 1 if done.missed else 0
