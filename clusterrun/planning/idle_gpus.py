"""Jobs that would train on CPUs on nodes with GPUs, because their spec requests none."""

from __future__ import annotations

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.job_spec import Loaded
from clusterrun.planning.preparation import Prepared
from clusterrun.slurm.commands import call, installed

_SECONDS = 5.0
CHOICES = "gpus-per-node: 1 under slurm, or accelerate: {use_cpu: true}"


def refuse_idle_gpus(prepared: Prepared) -> None:
    """Raise SpecError for a job that trains on CPUs only by default, where every node has GPUs.

    Nothing is refused without Slurm on this machine, or if it does not respond.
    """
    if not prepared.launch.cpu_by_default or not installed():
        return
    partition = prepared.loaded.spec.slurm.partition
    if not _all_nodes_have_gpus(partition, prepared):
        return
    name = f"partition {partition}" if partition else "the default partition"
    what = f"all nodes of {name} have GPUs, but the job requests none and would train on CPUs"
    raise SpecError([Problem(_place(prepared.loaded), "slurm", what, f"write {CHOICES}")])


def _place(loaded: Loaded) -> str:
    return loaded.line_of("slurm", "partition")


def _all_nodes_have_gpus(partition: str | None, prepared: Prepared) -> bool:
    """Return whether sinfo lists GPUs for each node of a partition, or of the default one."""
    options = [f"--partition={partition}"] if partition else []
    try:
        answer = call(
            ["sinfo", "--noheader", "--format=%P|%G", *options],
            seconds=_SECONDS,
            environment=prepared.request.environment,
        )
    except ClusterError:
        return False
    if answer.code:
        return False
    rows = [line.strip().partition("|") for line in answer.out.splitlines() if "|" in line]
    lists = [gres for name, _, gres in rows if partition or name.endswith("*")]
    return bool(lists) and all("gpu" in gres for gres in lists)
