"""What a job asks of Slurm, as far as a strategy depends on it."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.model import Slurm


@dataclass(frozen=True)
class Machines:
    """Nodes, GPUs and processes of a job."""

    nodes: int
    gpus: bool
    """Whether GPUs are requested, in any way."""
    gpu_type: str
    """As Slurm calls it; empty if the job does not name one."""
    processes: int | None
    """In all; None where only the nodes will know."""


def machines_of(slurm: Slurm, *, gpus_requested: bool, processes: int | None) -> Machines:
    """Return what a job requests; `processes` are those that are known without counting GPUs."""
    nodes, types = grammar.most_nodes(slurm.nodes), gpus.list_types(slurm.options)
    total = processes or gpus.count_per_node(slurm.options, nodes) * nodes or None
    return Machines(nodes, gpus_requested, types[0].lower() if types else "", total)
