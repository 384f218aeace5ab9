"""Slurm's expedited requeue: no delay, and the highest priority (25.11 and newer)."""

from __future__ import annotations

import re

from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import call

OPTION = "--requeue=expedite"
"""What sbatch takes it by (sbatch(1)); where it is not enabled, it refuses the job."""


def is_enabled() -> bool:
    """Return whether this cluster allows it (slurm.conf(5), SlurmctldParameters).

    False if Slurm does not answer.

    A requeue with a delay is no harm, and whether Slurm is there sbatch says next.
    """
    try:
        answer = call(["scontrol", "show", "config"])
    except ClusterError:
        return False
    return bool(
        re.search(
            r"^SlurmctldParameters\s*=.*\benable_expedited_requeue\b", answer.out, re.MULTILINE
        )
    )
