"""Rules of `launcher`: which keys belong to which launcher, and a known number of tasks."""

from __future__ import annotations

from typing import Any

from clusterrun.job_spec import gpus
from clusterrun.job_spec.accelerate_rules import count_nodes
from clusterrun.job_spec.layers import Layers

_ELSEWHERE = {
    "num_processes": "write nproc_per_node: the number of processes of each node",
    "tee": "write tee, without accelerate",
}
WITH_ANY_LAUNCHER = {"use_cpu"}
"""Keys of `accelerate` that a run without `accelerate launch` may have."""


def check_launcher(layers: Layers, values: dict[str, Any]) -> None:
    """Record every key that does not belong to the run's launcher."""
    launcher = values.get("launcher")
    if values.get("command") is not None:
        for key in ("launcher", "nproc_per_node", "tee"):
            if values.get(key) is not None:
                what = "cannot be combined with command, which runs as written"
                layers.add_problem((key,), what, "use script or module, or delete this key")
    elif launcher in (None, "accelerate"):
        _check_accelerate_launcher(layers, values)
    elif launcher in ("torchrun", "srun"):
        _check_other_launchers(layers, values, str(launcher))


def _check_accelerate_launcher(layers: Layers, values: dict[str, Any]) -> None:
    hints = {
        "nproc_per_node": "write launcher: torchrun; accelerate starts one process per GPU, or "
        "accelerate.num_processes in total",
        "tee": "write accelerate: {tee: ...}",
    }
    for key, hint in hints.items():
        if values.get(key) is not None:
            layers.add_problem((key,), "requires launcher: torchrun or srun", hint)


def _check_other_launchers(layers: Layers, values: dict[str, Any], launcher: str) -> None:
    accelerate = values.get("accelerate") or {}
    for key in sorted({*accelerate} - WITH_ANY_LAUNCHER):
        what = f"cannot be combined with launcher: {launcher}, which does not read it"
        hint = _ELSEWHERE.get(key, "delete it, or use launcher: accelerate")
        layers.add_problem(("accelerate", key), what, hint)
        del accelerate[key]
    slurm = values.get("slurm") or {}
    nodes = count_nodes(slurm.get("nodes", 1)) or 1
    own = values.get("nproc_per_node")
    own = own if isinstance(own, int) and not isinstance(own, bool) else None
    try:
        per_node = gpus.count_per_node(slurm, nodes, own or 0)
        requested = gpus.are_requested(slurm)
    except ValueError:  # it is reported by the rules of GPUs
        return
    if launcher == "torchrun" and own and per_node and own > per_node:
        what = f"{own} processes per node, but {per_node} GPUs per node are requested"
        layers.add_problem(("nproc_per_node",), what, f"write {per_node}, or request more GPUs")
    if launcher == "srun":
        _check_tasks(layers, slurm, known=bool(own or per_node or not requested))


def _check_tasks(layers: Layers, slurm: dict[str, Any], *, known: bool) -> None:
    """Record what leaves the number of tasks open: Slurm reserves their CPUs before the start."""
    if not known:
        what = "missing: launcher: srun needs the number of tasks per node"
        layers.add_problem(("nproc_per_node",), what, "add nproc_per_node, or use gpus-per-node")
    if "-" in str(slurm.get("nodes", 1)):
        what = "a range cannot be combined with launcher: srun"
        layers.add_problem(("slurm", "nodes"), what, "write one number, or use launcher: torchrun")
