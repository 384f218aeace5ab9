"""The nodes, GPUs and processes that a strategy depends on."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.model import Slurm


@dataclass(frozen=True)
class Machines:
    """Nodes, GPUs and processes of a job."""

    nodes: int
    gpus: bool
    """Whether the job requests GPUs, with any option."""
    gpu_type: str
    """As the site names it; empty if the job requests no type."""
    processes: int | None
    """The total; None if only the nodes can count them."""


def machines_of(slurm: Slurm, *, gpus_requested: bool, processes: int | None) -> Machines:
    """Return what a job requests; `processes` is the total if known without counting GPUs."""
    nodes, types = grammar.most_nodes(slurm.nodes), gpus.list_types(slurm.options)
    total = processes or gpus.count_per_node(slurm.options, nodes) * nodes or None
    return Machines(nodes, gpus_requested, types[0].lower() if types else "", total)
