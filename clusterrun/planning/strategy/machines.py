"""The nodes, GPUs and processes that a strategy depends on."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.model import Slurm
from clusterrun.planning.strategy.config_values import ConfigValues, truth

REQUEST_GPUS = "add slurm.gpus-per-node"
ON_CPUS = (
    "no GPUs are requested, so this trains on CPUs; add gpus-per-node, or accelerate: "
    "{use_cpu: true} if CPUs are intended"
)


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


def check_requested(values: ConfigValues, machines: Machines) -> None:
    """Record MULTI_GPU for a job without GPUs: accelerate would silently train on CPUs."""
    is_meant = truth(values.get("use_cpu")) or (
        values.in_spec and values.get("use_cpu") is False
    )  # GPUs that only the user knows of
    if values.get("distributed_type") == "MULTI_GPU" and not machines.gpus and not is_meant:
        what = "MULTI_GPU requires GPUs, and the job requests none"
        values.add_problem(
            ["distributed_type"], what, f"{REQUEST_GPUS}, or write use_cpu: true for CPUs"
        )


def machines_of(slurm: Slurm, *, gpus_requested: bool, processes: int | None) -> Machines:
    """Return what a job requests; `processes` is the total if known without counting GPUs."""
    nodes, types = grammar.most_nodes(slurm.nodes), gpus.list_types(slurm.options)
    total = processes or gpus.count_per_node(slurm.options, nodes) * nodes or None
    return Machines(nodes, gpus_requested, types[0].lower() if types else "", total)
