"""Slurm's expedited requeue: a job that comes back has no delay, and the highest priority (25.11 and newer)."""

from __future__ import annotations

import re

from clusterrun.slurm.commands import NoAnswer, call

OPTION = "--requeue=expedite"
"""What sbatch takes it by (sbatch(1)); where it is not enabled, it refuses the job."""


def is_enabled() -> bool:
    """Say whether this cluster allows it (slurm.conf(5), SlurmctldParameters).

    Raises NoAnswer where slurmctld cannot be asked.
    """
    answer = call(["scontrol", "show", "config"])
    if answer.code:
        raise NoAnswer(f"scontrol: {answer.err.splitlines()[-1] if answer.err else 'failed'}", "submit again later")
    return bool(re.search(r"^SlurmctldParameters\s*=.*\benable_expedited_requeue\b", answer.out, re.MULTILINE))
