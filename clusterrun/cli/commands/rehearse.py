"""`clusterrun rehearse JOB.yaml`."""

from __future__ import annotations

import argparse
import sys
import time

from clusterrun.cli.options import add_spec_options, request_from_options, timeout_option
from clusterrun.cli.output.printed_json import add_json, print_json
from clusterrun.rehearsal.outcome_text import format_outcome
from clusterrun.rehearsal.rehearsing import rehearse
from clusterrun.rehearsal.result import OUT_OF_TIME


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_spec_options(parser)
    words = "checkpoint every N optimizer steps, and stop halfway to the second one (default: 10)"
    parser.add_argument("--steps", type=int, default=10, metavar="N", help=words)
    parser.add_argument("--local", action="store_true", help="run on this machine, without Slurm")
    words = (
        "give up after this time, including the time in the queue, with exit code 124 (default: 1h)"
    )
    parser.add_argument(
        "--timeout", type=timeout_option, default=3600.0, metavar="TIME", help=words
    )
    words = "maximum relative difference between losses and the reference (default: 0.001)"
    parser.add_argument("--tolerance", type=float, default=1e-3, metavar="PART", help=words)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Rehearse a preemption; return 0 if the run survives it, else 1."""
    started = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - started:5.0f} s  {text}", file=sys.stderr, flush=True)

    rehearsal = rehearse(
        request_from_options(options),
        steps=options.steps,
        local=options.local,
        timeout=options.timeout,
        tolerance=options.tolerance,
        tell=report,
    )
    if options.json:
        print_json(rehearsal)
    else:
        print(format_outcome(rehearsal))
    if rehearsal.outcome == OUT_OF_TIME:
        return 124
    return 0 if rehearsal.survived else 1
