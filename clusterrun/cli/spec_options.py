"""The options that validate, render and submit share."""

from __future__ import annotations

import argparse
import sys

from clusterrun.planning.preparation import Prepared, Request


def add_spec_options(parser: argparse.ArgumentParser) -> None:
    """Add the job spec, and what lies under and over it."""
    parser.add_argument("job", metavar="JOB.yaml", help="the job spec")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one value, typed as YAML, such as slurm.nodes=4; may be repeated",
    )
    parser.add_argument(
        "--profile",
        help="the site's defaults (default: CLUSTERRUN_PROFILE, ~/.config/clusterrun/profile.yaml)",
    )
    parser.add_argument(
        "--templates",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a folder of your own templates, searched first",
    )


def request_of(options: argparse.Namespace) -> Request:
    """Return what was asked for."""
    return Request(options.job, tuple(options.overrides), options.profile, tuple(options.templates))


def tell_notes(prepared: Prepared) -> None:
    """Say on stderr what the user did not write and should know."""
    for note in prepared.notes:
        print(f"note: {note}", file=sys.stderr)
