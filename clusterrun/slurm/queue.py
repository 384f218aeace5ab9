"""Query squeue for jobs, with one call for any number of them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import NoAnswer, call
from clusterrun.slurm.ids import job_id as valid_job_id

EXPEDITE_OPTION = "--requeue=expedite"
"""sbatch's option for requeues without delay, at the highest priority (25.11 and newer).

If it is not enabled, sbatch refuses the job (sbatch(1)).
"""
NO_REASON = "None"
"""squeue's word for a job without a reason."""
# The command is last, because a path may contain any character.
_FORMAT = "%i|%A|%F|%T|%r|%S %e|%N|%o"


@dataclass(frozen=True)
class QueuedJob:
    """One line of squeue, for a job or a task of an array."""

    job_id: str
    """The job's id, or `<array>_<task>` for a task."""
    raw_id: str
    """The value of SLURM_JOB_ID in the job; it differs for most tasks of an array."""
    array_id: str
    """The id that sbatch printed."""
    state: str
    reason: str
    span: str
    """Start, actual or expected, and end by the time limit, in local time; `N/A` if unknown."""
    nodes: str
    command: str
    """The path of the batch script as passed to sbatch."""

    @property
    def ends(self) -> int | None:
        """End by the time limit, in seconds since the epoch; None without a limit or a start."""
        from datetime import datetime  # noqa: PLC0415 - only for a running job

        try:
            return int(datetime.fromisoformat(self.span.split()[-1]).timestamp())
        except (ValueError, IndexError):
            return None


def own_jobs(job_id: str | None = None) -> list[QueuedJob]:
    """List the user's jobs that slurmctld still knows, including ended ones (MinJobAge, 300 s).

    Raises NoAnswer if squeue fails.
    """
    argv = ["squeue", "--noheader", "--states=all", "--array", f"--format={_FORMAT}"]
    answer = call([*argv, f"--jobs={job_id}" if job_id else "--me"])
    if answer.code and "Invalid job id" in answer.err:
        return []
    if answer.code:
        raise NoAnswer(
            answer.err.splitlines()[-1] if answer.err else "squeue: failed", "try again later"
        )
    return [
        QueuedJob(*(part.strip() for part in line.split("|", 7)))
        for line in answer.out.splitlines()
        if "|" in line
    ]


def cancel_job(job_id: str, *, only_pending: bool = False) -> None:
    """Cancel a job; a job that no longer exists is not an error.

    The caller has checked whose job it is (`ownership`). Raises ClusterError if Slurm refuses.
    """
    argv = [
        "scancel",
        *(["--state=PENDING"] if only_pending else []),
        "--",
        _require_job_id(job_id),
    ]
    answer = call(argv, seconds=10)
    if (
        answer.code
        and "Invalid job id" not in answer.err
        and "already completing" not in answer.err
    ):
        raise ClusterError(answer.err or "scancel: failed")


def signal_step(job_id: str, name: str) -> None:
    """Signal a job's steps, not its batch shell. Raises ClusterError if Slurm refuses."""
    answer = call(["scancel", f"--signal={name}", "--", _require_job_id(job_id)], seconds=10)
    if answer.code:
        raise ClusterError(answer.err or "scancel: failed")


def _require_job_id(job_id: str) -> str:
    """Raise unless this is a job id.

    Anything else could be an option of the command: `--me` selects all jobs of a user.
    """
    if not valid_job_id(job_id):
        raise ClusterError(f"{job_id!r} is not a valid job id")
    return job_id


def may_requeue(job_id: str) -> bool:
    """Return whether a job may be requeued (scontrol's `Requeue=`). Raises NoAnswer on failure."""
    answer = call(["scontrol", "show", "job", "--oneliner", _require_job_id(job_id)])
    if answer.code:
        raise NoAnswer(
            f"scontrol: {answer.err.splitlines()[-1] if answer.err else 'failed'}",
            "try again later",
        )
    return " Requeue=0 " not in answer.out


def expedited_requeue_is_enabled() -> bool:
    """Return whether the cluster expedites requeues (slurm.conf(5), SlurmctldParameters).

    False if Slurm is not responding: a requeue with a delay is harmless, and sbatch fails next
    anyway.
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


def job_with_script(path: str, name: str, *, but: Collection[str] = ()) -> str | None:
    """Find the job submitted from a script file, by squeue, then sacct; None if neither knows it.

    `but` lists the earlier jobs of that file.
    """
    for job in own_jobs():
        if job.command == path and job.array_id not in but:
            return job.array_id
    answer = call(
        [
            "sacct",
            "--noheader",
            "--parsable2",
            "--allocations",
            "--starttime=now-30days",
            f"--name={name}",
            "--format=JobID,SubmitLine",
        ]
    )
    for line in answer.out.splitlines() if not answer.code else []:
        task, _, submitted = line.partition("|")
        job_id = task.partition("_")[0]
        if submitted.split()[-1:] == [path] and job_id not in but:
            return job_id
    return None
