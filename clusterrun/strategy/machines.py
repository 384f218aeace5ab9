"""What a job asks of Slurm, as far as a strategy depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from clusterrun.spec import grammar
from clusterrun.spec.model import Slurm

_GRES = re.compile(r"(?:gres[:/])?gpu:(?P<kind>[A-Za-z][\w.-]*)(?::\d+)?(?:\([^)]*\))?")


@dataclass(frozen=True)
class Machines:
    """Nodes, GPUs and processes of a job."""

    nodes: int
    gpus: bool
    """Whether GPUs are asked for, in any way."""
    gpu_type: str
    """As Slurm calls it; empty where the job does not say."""
    processes: int | None
    """In all; None where only the nodes will know."""


def machines_of(slurm: Slurm, *, gpus_asked: bool, processes: int | None) -> Machines:
    """Return what a job asks for; `processes` are those that are known without counting GPUs."""
    nodes = grammar.most_nodes(slurm.nodes)
    total = processes or gpus_in_all(slurm, nodes)
    return Machines(nodes, gpus_asked, _gpu_type(slurm), total)


def gpus_in_all(slurm: Slurm, nodes: int) -> int | None:
    """Return how many GPUs a job asks for; None where it does not say a number."""
    if slurm.gpus is not None:
        return grammar.gpu_count(slurm.gpus)
    each = slurm.gpus_per_node or slurm.gpus_per_task
    count = grammar.gpu_count(each) if each is not None else grammar.gres_gpus(slurm.gres or "")
    return count * nodes or None


def _gpu_type(slurm: Slurm) -> str:
    for value in (slurm.gpus_per_node, slurm.gpus, slurm.gpus_per_task):
        if value is not None and ":" in value:
            return value.split(":")[0].lower()
    found = [_GRES.fullmatch(part) for part in (slurm.gres or "").split(",")]
    return next((match["kind"].lower() for match in found if match), "")
