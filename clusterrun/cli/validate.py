"""`clusterrun validate JOB.yaml`."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.spec_options import add_spec_options, request_of, tell_notes
from clusterrun.validate import validate


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_spec_options(parser)


def run(options: argparse.Namespace) -> int:
    """Check a spec; every mistake is told, as file:line: key: what is wrong."""
    prepared = validate(request_of(options))
    tell_notes(prepared)
    plan = prepared.plan()
    processes = plan.launch.processes
    count = (
        "as many processes as Slurm gives GPUs" if processes is None else f"{processes} process{'es' * (processes > 1)}"
    )
    nodes = f"{plan.nodes} node{'s' * (plan.nodes > 1)}"
    print(f"{options.job}: valid: {plan.name}, {nodes}, {count}", file=sys.stderr)
    if prepared.batch.in_words():
        print(f"batch: {prepared.batch.in_words()}", file=sys.stderr)
    return 0
