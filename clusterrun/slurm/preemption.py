"""Imitate a preemption as a user: the same signals to the steps, then a requeue."""

from __future__ import annotations

import re

from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import NoAnswer, call

_STEP = re.compile(r"\d+\.\d+")
KILL_WAIT = 30.0  # Slurm's default (slurm.conf(5))


def signal_as_preempted(job_id: str) -> list[str]:
    """Send CONT and TERM to a job's steps, not to its batch shell; return the steps.

    A preemption does the same (measured, Slurm 22.05 and 26.05). Raises ClusterError if Slurm
    refuses, or the job has no steps.
    """
    steps = _list_steps(job_id)
    if not steps:
        raise ClusterError(f"job {job_id} has no step to signal")
    for name in ("CONT", "TERM"):
        answer = call(["scancel", f"--signal={name}", *steps], seconds=10)
        if answer.code:
            raise ClusterError(f"scancel --signal={name}: {answer.err}")
    return steps


def requeue_at_once(job_id: str) -> None:
    """Requeue a job, as Slurm does after the grace time. Raises ClusterError if Slurm refuses."""
    answer = call(["scontrol", "requeue", job_id], seconds=10)
    if answer.code:
        raise ClusterError(f"scontrol requeue: {answer.err}")


def grace_time(job_id: str) -> tuple[float, str]:
    """Return the seconds between a preemption and its kill, and the setting that defines them.

    It is the partition's GraceTime, or KillWait if that is 0. A QOS can override it, which is not
    visible here.
    """
    job = _show_or_empty("job", "--oneliner", job_id)
    partition = _find_value(r"\bPartition=(\S+)", job)
    grace = (
        _find_value(r"\bGraceTime=(\d+)", _show_or_empty("partition", "--oneliner", partition))
        if partition
        else ""
    )
    if grace and int(grace):
        return float(grace), f"GraceTime of partition {partition}"
    wait = _find_value(r"^KillWait\s*=\s*(\d+)", _show_or_empty("config"))
    return float(wait or KILL_WAIT), "KillWait, as the partition has no GraceTime"


def _list_steps(job_id: str) -> list[str]:
    answer = call(["squeue", "--noheader", "--steps", f"--jobs={job_id}", "--format=%i"])
    if answer.code:
        raise NoAnswer(
            answer.err.splitlines()[-1] if answer.err else "squeue: failed", "try again later"
        )
    return [word for word in answer.out.split() if _STEP.fullmatch(word)]


def _show_or_empty(*what: str) -> str:
    answer = call(["scontrol", "show", *what])
    return "" if answer.code else answer.out


def _find_value(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
