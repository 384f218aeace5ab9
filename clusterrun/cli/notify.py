"""`clusterrun notify --test JOB.yaml`."""

from __future__ import annotations

import argparse
import json
import sys

from clusterrun.notify import notify
from clusterrun.prepare import Request


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--test", metavar="JOB.yaml|RUN", required=True, help="send a test message to every place that it names")
    add("--set", dest="overrides", metavar="KEY=VALUE", action="append", default=[], help="as for submit")
    add("--profile", help="the site's defaults (default: CLUSTERRUN_PROFILE, ~/.config/clusterrun/profile.yaml)")
    add("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Send a test of a run's notifications; 1 where a place was not reached."""
    done = notify(options.test, Request(options.test, tuple(options.overrides), options.profile))
    if options.json:
        print(json.dumps({"missed": done.missed, "words": list(done.words)}))
    else:
        print("\n".join(done.words), file=sys.stderr)
    return 1 if done.missed else 0
