"""`clusterrun render JOB.yaml`: the script on stdout, so that `clusterrun render JOB.yaml | sbatch` works."""

from __future__ import annotations

import argparse
import sys

from clusterrun.cli.spec_options import add_spec_options, request_of, tell_notes
from clusterrun.prepare import prepare


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_spec_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the script; files that are not on this machine are only warned of."""
    prepared = prepare(request_of(options))
    tell_notes(prepared)
    for problem in prepared.problems:
        print(f"warning: {problem}", file=sys.stderr)
    sys.stdout.write(prepared.script())
    return 0
