"""`clusterrun resume RUN`."""

from __future__ import annotations

import argparse

from clusterrun.cli.options import add_overrides
from clusterrun.cli.output.outcomes import add_submission_options, print_submission
from clusterrun.submission.resuming import resume


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", metavar="RUN")
    add_overrides(
        parser,
        "change one value of the run's spec permanently, such as slurm.time=12:00:00; "
        "may be repeated",
    )
    add_submission_options(parser)


def run(options: argparse.Namespace) -> int:
    """Queue a new attempt of a run that has ended."""
    resumed = resume(options.run, options.overrides)
    folder = f"resumed as job {resumed.job_id}; run folder: {resumed.paths.folder}"
    return print_submission(resumed, options, f"{folder}\n  clusterrun logs -f {resumed.run_id}")
