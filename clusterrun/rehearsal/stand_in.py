"""Stand in for Slurm's preemption: the same signals, sent by the user, with or without Slurm."""

from __future__ import annotations

from typing import Protocol

from clusterrun.local import preempt
from clusterrun.local import requeue_at_once as requeue_here
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.ownership import require_job
from clusterrun.slurm.preemption import (
    KILL_WAIT,
    grace_time,
    requeue_at_once,
    signal_as_preempted,
)
from clusterrun.slurm.queue import own_jobs
from clusterrun.slurm.states import State, state_of


class StandIn(Protocol):
    """Preempts a run, and reports what the queue shows.

    Each method raises ClusterError if Slurm refuses.
    """

    words: str
    """What is done, for people."""

    def stop(self, run: RunRef) -> None:
        """Ask the run's step to stop; the batch shell hears nothing."""

    def grace(self, run: RunRef) -> tuple[float, str]:
        """Return the seconds that it has to leave, and whose rule that is."""

    def requeue(self, run: RunRef) -> None:
        """End it at once, and queue it again."""

    def waits(self, run: RunRef) -> str | None:
        """Return Slurm's reason while the run's job is pending; None while it is not."""


class OnSlurm:
    """Preempts on a cluster.

    Slurm preempts for a job that needs the nodes; a user can send the same signals, and requeue.
    """

    words = (
        "CONT and TERM to its step, as Slurm's preemption sends them, and a requeue; Slurm itself "
        "preempted nothing"
    )

    def stop(self, run: RunRef) -> None:
        """As `scancel --signal`, to the steps alone."""
        require_job(run, run.job_id)
        signal_as_preempted(run.job_id)

    def grace(self, run: RunRef) -> tuple[float, str]:
        """As the partition has it."""
        return grace_time(run.job_id)

    def requeue(self, run: RunRef) -> None:
        """As `scontrol requeue`."""
        require_job(run, run.job_id)
        requeue_at_once(run.job_id)

    def waits(self, run: RunRef) -> str | None:
        """As squeue says it."""
        jobs = own_jobs(run.job_id)
        return jobs[0].reason if jobs and state_of(jobs[0].state) is State.PENDING else None


class Here:
    """On this machine, without Slurm."""

    words = (
        "TERM to its step and a new start, as Slurm does at a preemption; there is no Slurm here"
    )

    def stop(self, run: RunRef) -> None:
        """TERM to the shell that stands for the step's task."""
        preempt(run.paths)

    def grace(self, run: RunRef) -> tuple[float, str]:  # noqa: ARG002 - as on Slurm
        """As long as Slurm's KillWait by default."""
        return KILL_WAIT, "KillWait of slurm.conf by default"

    def requeue(self, run: RunRef) -> None:
        """Ended by the process that stands for slurmctld, which starts it again."""
        requeue_here(run.paths)

    def waits(self, run: RunRef) -> str | None:  # noqa: ARG002
        """Nobody waits here."""
        return None
