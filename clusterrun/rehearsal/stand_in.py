"""Substitutes for Slurm's preemption: the same signals, sent by the user, with or without Slurm."""

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
    """A description of the interruption."""

    def stop(self, run: RunRef) -> None:
        """Signal the run's step to stop, but not the batch shell."""

    def grace(self, run: RunRef) -> tuple[float, str]:
        """Return the seconds that the run has to exit, and the setting that defines them."""

    def requeue(self, run: RunRef) -> None:
        """End the run at once and requeue it."""

    def find_pending_reason(self, run: RunRef) -> str | None:
        """Return Slurm's reason while the run's job is pending, else None."""


class OnSlurm:
    """Preempts on a cluster.

    Only Slurm can preempt, for a job that needs the nodes; a user can send the same signals and
    requeue.
    """

    words = (
        "CONT and TERM to its step, as in a preemption, and a requeue; Slurm itself did not "
        "preempt the job"
    )

    def stop(self, run: RunRef) -> None:
        """Signal only the steps, as `scancel --signal` does."""
        require_job(run, run.job_id)
        signal_as_preempted(run.job_id)

    def grace(self, run: RunRef) -> tuple[float, str]:
        """Return the grace time of the partition."""
        return grace_time(run.job_id)

    def requeue(self, run: RunRef) -> None:
        """Requeue the job as `scontrol requeue` does."""
        require_job(run, run.job_id)
        requeue_at_once(run.job_id)

    def find_pending_reason(self, run: RunRef) -> str | None:
        """Return the reason that squeue shows."""
        jobs = own_jobs(run.job_id)
        return jobs[0].reason if jobs and state_of(jobs[0].state) is State.PENDING else None


class Here:
    """Preempts on this machine, without Slurm."""

    words = "TERM to its step and a restart, as in a preemption; without Slurm, on this machine"

    def stop(self, run: RunRef) -> None:
        """Send TERM to the node shell."""
        preempt(run.paths)

    def grace(self, run: RunRef) -> tuple[float, str]:  # noqa: ARG002 - as on Slurm
        """Return Slurm's default KillWait."""
        return KILL_WAIT, "the default KillWait of slurm.conf"

    def requeue(self, run: RunRef) -> None:
        """Have the process that plays slurmctld end the run and restart it."""
        requeue_here(run.paths)

    def find_pending_reason(self, run: RunRef) -> str | None:  # noqa: ARG002 - as on Slurm
        """Return None: without Slurm a run is never pending."""
        return None
