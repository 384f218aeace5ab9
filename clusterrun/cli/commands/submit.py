"""`clusterrun submit JOB.yaml`."""

from __future__ import annotations

import argparse
import os
import sys

from clusterrun.cli.options import add_spec_options, request_from_options
from clusterrun.cli.output.outcomes import add_submission_options, print_submission
from clusterrun.cli.output.printed_json import print_json
from clusterrun.cli.output.sweep_table import format_members
from clusterrun.cli.output.trial_answer import describe_trial
from clusterrun.planning.preparation import Prepared, prepare
from clusterrun.run_folder.index import RunRef
from clusterrun.submission.submitting import submit_prepared, try_submission


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_spec_options(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the script, or the members of a sweep, and ask Slurm whether it would accept "
        "the job",
    )
    parser.add_argument("--local", action="store_true", help="run on this machine, without Slurm")
    add_submission_options(parser)


def run(options: argparse.Namespace) -> int:
    """Queue a run and print the next commands."""
    request = request_from_options(options)
    dropped = sorted(name for name in os.environ if name.startswith("SBATCH_"))
    if dropped and not options.local:
        print(
            f"note: ignored, because they would override the spec: {', '.join(dropped)}",
            file=sys.stderr,
        )
    prepared = prepare(request)
    _warn_about_memory(prepared)
    if options.dry_run:
        _dry_run(prepared, as_json=options.json)
        return 0
    submitted = submit_prepared(prepared, local=options.local)
    return print_submission(
        submitted, options, _format_next_commands(submitted, local=options.local)
    )


def _dry_run(prepared: Prepared, *, as_json: bool) -> None:
    trial = try_submission(prepared)
    if as_json:
        print_json(trial)
        return
    if trial.members:
        print(format_members(trial.members))
    else:
        sys.stdout.write(trial.script)
    print(describe_trial(trial.slurm_response, len(trial.members)), file=sys.stderr)


def _warn_about_memory(prepared: Prepared) -> None:
    """Print a warning if the run cannot fit into GPU memory; the run is submitted anyway."""
    if prepared.loaded.gpu_memory is None:
        return
    from clusterrun.estimation.answers import cannot_fit  # noqa: PLC0415 - only if the profile has gpu_memory

    environment = prepared.request.environment
    words = cannot_fit(prepared.loaded, prepared.work_dir, environment, prepared.script)
    if words:
        print(f"warning: {words}", file=sys.stderr)


def _format_next_commands(submitted: RunRef, *, local: bool) -> str:
    what = (
        f"started on this machine as process {submitted.job_id}"
        if local
        else f"queued as job {submitted.job_id}"
    )
    lines = [
        f"{what}; run folder: {submitted.paths.folder}",
        f"  clusterrun status {submitted.run_id}",
        f"  clusterrun logs -f {submitted.run_id}",
        f"  clusterrun stop {submitted.run_id}      checkpoint and stop",
        f"  clusterrun cancel {submitted.run_id}    cancel at once",
    ]
    return "\n".join(lines)
