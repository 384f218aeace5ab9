"""Jobs that would train on CPUs on nodes with GPUs, because their spec requests none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from clusterrun.errors import Problem
from clusterrun.planning.preparation import Prepared
from clusterrun.slurm.partitions import PartitionResources

_CHOICES = "gpus-per-node: 1 under slurm, or accelerate: {use_cpu: true}"


def find_idle_gpus(
    prepared: Prepared, partitions: Sequence[PartitionResources]
) -> Iterator[Problem]:
    """Yield a problem for a job that trains on CPUs only by default, where every node has GPUs."""
    if not prepared.launch.cpu_by_default:
        return
    name = prepared.loaded.spec.slurm.partition
    chosen = [
        one for one in partitions if (one.name in name.split(",") if name else one.is_default)
    ]
    groups = [group for one in chosen for group in one.groups]
    if groups and all(group.gpus for group in groups):
        where = prepared.loaded.line_of("slurm", "partition")
        shown = f"partition {name}" if name else "the default partition"
        what = f"all nodes of {shown} have GPUs, but the job requests none and would train on CPUs"
        yield Problem(where, "slurm", what, f"write {_CHOICES}")
