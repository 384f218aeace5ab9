"""Submit the script of a run folder to Slurm, or start it on this machine, exactly once.

The order guarantees it. The intent is written first (the pending record, then the run folder);
sbatch runs under a lock that its process inherits, so that the lock of a killed client stays with
its sbatch; the job id is written last. A later try finds the pending record, searches Slurm for a
job with the script of that run folder, and calls sbatch only if it finds none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun import units
from clusterrun.errors import ClusterError
from clusterrun.job_spec import gpus
from clusterrun.job_spec.model import Slurm
from clusterrun.planning.plan import LaunchPlan
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import jobs_until, read_job
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.slurm.clusters import other_cluster, reached_cluster, refuse_several_clusters

# How long slurmctld may take to show the job of a killed client.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Handover:
    """One submission of a run: the first one, or one by `resume`."""

    run: RunRef
    job_name: str
    number: int = 1
    after: str = ""
    """The last attempt of the earlier submissions; empty for the first submission."""
    local: bool = False

    @property
    def marker(self) -> Path:
        """The record that is written right before sbatch is called."""
        return self.run.paths.events / "submit.sbatch"


def clear_pending(pending: Path) -> None:
    """Remove the record of a completed submission, and drafts of it from a killed client."""
    for draft in pending.parent.glob(f".{pending.name}.*"):
        draft.unlink(missing_ok=True)
    pending.unlink(missing_ok=True)  # last: from here on, another submission is a new one


def find_known_job(handover: Handover) -> str | None:
    """Find the job that an earlier try of this submission queued, in its files, then in Slurm."""
    paths = handover.run.paths
    written = read_record(paths.job)
    if written.get("number") == str(handover.number):
        return read_job(paths.job) or None
    started = [name for name in paths.attempts() if name > handover.after]
    if started:
        return read_job(paths.begin(started[0])) or None
    marker = read_record(handover.marker)
    if marker.get("number") != str(handover.number):
        return None
    if not handover.local and (elsewhere := other_cluster(marker.get("cluster", ""))):
        raise ClusterError(
            elsewhere, "submit again there; clusterrun looks for the job before it queues one"
        )
    return _find_supervisor_job(handover) if handover.local else _find_queued_job(handover)


def queue_job(
    handover: Handover, plan: LaunchPlan, environment: Mapping[str, str], lock: int
) -> str:
    """Call sbatch, or start the run on this machine; return the job id.

    Raises ClusterError or SpecError on a refusal, NoAnswer if it is unknown whether a job was
    queued.
    """
    options = () if handover.local else _cluster_options(plan)
    cluster = "" if handover.local else _reached_cluster(environment)
    write_record(
        handover.marker, {"time": int(time.time()), "number": handover.number, "cluster": cluster}
    )
    if handover.local:
        return _start_here(handover, plan, environment)
    from clusterrun.slurm.submitit_seam import ScriptExecutor  # noqa: PLC0415 - slow

    executor = ScriptExecutor(handover.run.paths.folder, environment, (lock,))
    return str(executor.submit_script(handover.run.paths.script, options).job_id)


def _start_here(handover: Handover, plan: LaunchPlan, environment: Mapping[str, str]) -> str:
    from clusterrun.local import LocalJob, start  # noqa: PLC0415 - only for a local run

    slurm = plan.spec.slurm
    if plan.spec.launch_kind == "srun" and plan.processes_a_node != 1:
        what = f"launcher: srun starts {plan.processes_a_node} tasks, but a local run has one"
        raise ClusterError(what, "add --set nproc_per_node=1, or --set launcher=torchrun")
    job = LocalJob(
        nodes=plan.nodes,
        least_nodes=plan.least_nodes,
        gpus=_most_gpus(slurm) if plan.gpus_requested else None,
        limit_s=units.seconds_of_slurm_time(slurm.time) if slurm.time else None,
        lead_s=plan.signal_lead,
        secrets=plan.spec.environment.secrets,
        work_dir=plan.chdir,
    )
    return start(handover.run.paths, job, environment)


def _most_gpus(slurm: Slurm) -> int:
    """Return the largest number of GPUs per node that an option of the spec requests."""
    requests = gpus.find_requests(slurm.options).values()
    return max((sum(one.count for one in listing) for listing in requests), default=0)


def _reached_cluster(environment: Mapping[str, str]) -> str:
    """Return the name of the cluster that sbatch will reach. Raises ClusterError if ambiguous."""
    refuse_several_clusters(environment)
    return reached_cluster(environment)


def _cluster_options(plan: LaunchPlan) -> tuple[str, ...]:
    """List the options that depend on the cluster; the script contains all others."""
    from clusterrun.slurm.queue import (  # noqa: PLC0415 - only when sbatch is called
        EXPEDITE_OPTION,
        expedited_requeue_is_enabled,
    )

    return (EXPEDITE_OPTION,) if plan.may_expedite and expedited_requeue_is_enabled() else ()


def record_job(handover: Handover, job_id: str) -> RunRef:
    """Record the job id in the run folder, which completes the submission."""
    marker = read_record(handover.marker)
    cluster = marker.get("cluster", "") if marker.get("number") == str(handover.number) else ""
    values = {
        "job_id": job_id,
        "cluster": cluster,
        "local": int(handover.local),
        "submitted": int(time.time()),
        "number": handover.number,
        "after": handover.after,
        "earlier": " ".join(sorted(_earlier_jobs(handover))),
    }
    write_record(handover.run.paths.job, values)
    return replace(handover.run, job_id=job_id)


def _find_supervisor_job(handover: Handover) -> str | None:
    from clusterrun.local import supervisor_lives  # noqa: PLC0415 - only for a local run

    is_alive = supervisor_lives(handover.run.paths)
    return read_record(handover.run.paths.local / "supervisor").get("job_id") if is_alive else None


def _find_queued_job(handover: Handover) -> str | None:
    from clusterrun.slurm.queue import job_with_script  # noqa: PLC0415 - only after an interrupted submission

    script, but = str(handover.run.paths.script), _earlier_jobs(handover)
    job = job_with_script(script, handover.job_name, but=but)
    if job is None:
        time.sleep(SETTLE_SECONDS)
        job = job_with_script(script, handover.job_name, but=but)
    return job


def _earlier_jobs(handover: Handover) -> set[str]:
    """Return the jobs of earlier submissions, whose scripts have the same name."""
    paths, written = handover.run.paths, read_record(handover.run.paths.job)
    jobs = jobs_until(paths, handover.after)
    if written.get("number") != str(handover.number):
        jobs.add(written.get("job_id", ""))
    return {job for job in jobs | set(written.get("earlier", "").split()) if job}
