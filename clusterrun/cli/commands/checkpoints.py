"""`clusterrun checkpoints RUN`."""

from __future__ import annotations

import argparse
import sys
import time

from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.cli.output.progress_bar import progress
from clusterrun.cli.output.screen import format_columns
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint, checkpoints
from clusterrun.units import format_age, format_size

_HEADINGS = ("CHECKPOINT", "STEP", "SIZE", "AGE", "ATTEMPT", "VERIFIED", "")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN", nargs="?", default="last")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every byte; exit code 1 if a checkpoint is incomplete or corrupt",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print a run's checkpoints, newest last."""
    with progress("verifying") as report:
        listed = checkpoints(options.run, verify=options.verify, report_progress=report)
    if options.json:
        print_json(listed)
    elif listed:
        print(format_columns([_HEADINGS, *map(_checkpoint_row, listed)]))
    else:
        print("no checkpoints yet", file=sys.stderr)
    return 1 if options.verify and any(one.damaged for one in listed) else 0


def _checkpoint_row(one: SavedCheckpoint) -> tuple[str, ...]:
    step, attempt = ("" if value is None else str(value) for value in (one.step, one.attempt))
    mark = "<- resumes here" if one.used_on_resume else ""
    return (
        one.name,
        step,
        format_size(one.size),
        format_age(time.time() - one.saved_at),
        attempt,
        _describe_verification(one),
        mark,
    )


def _describe_verification(one: SavedCheckpoint) -> str:
    if one.fault:
        return f"no: {one.fault}"
    if one.kind == "script":
        return "cannot be verified (written by the script)"
    return "yes" if one.verified else "sizes match (--verify reads every byte)"
