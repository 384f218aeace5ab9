"""Rules of the `slurm` section: options that a spec may not set, arrays, and smaller jobs."""

from __future__ import annotations

import re
from typing import Any

from clusterrun.job_spec import options
from clusterrun.job_spec.accelerate_rules import count_nodes
from clusterrun.job_spec.layers import Layers

MEMORIES = ("mem", "mem_per_cpu", "mem_per_gpu")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")


def check_slurm(layers: Layers, values: dict[str, Any]) -> None:
    """Note every rule between sbatch's options, and between them and `requeue`, that is broken."""
    _check_options(layers, values.get("slurm") or {}, launcher=values.get("command") is None)
    _check_array(layers, values)
    _check_shrink(layers, values)


def _check_options(layers: Layers, slurm: dict[str, Any], *, launcher: bool) -> None:
    for key in [*slurm]:
        option = key.replace("_", "-")
        reason, hint = options.reason_refused(option, launcher=launcher)
        if reason:
            layers.fault(("slurm", key), f"not taken: {reason}", hint)
            del slurm[key]
    extra = slurm.get("additional_parameters")
    for option in extra if isinstance(extra, dict) else {}:
        _check_additional(layers, str(option), launcher=launcher)
    memories = [key for key in MEMORIES if slurm.get(key) is not None]
    for key in memories[1:]:
        layers.fault(
            ("slurm", key), "sbatch takes one of mem, mem-per-cpu and mem-per-gpu", "keep one"
        )


def _check_additional(layers: Layers, option: str, *, launcher: bool) -> None:
    path = ("slurm", "additional_parameters", option)
    name = option.replace("_", "-").lower()
    reason, hint = options.reason_refused(name, launcher=launcher)
    if reason:
        layers.fault(path, f"not taken: {reason}", hint)
    elif name in options.KNOWN or name == "chdir":
        layers.fault(path, "known: it belongs directly under slurm")
    elif not _OPTION.fullmatch(name):
        layers.fault(path, "not the long name of an sbatch option")
    elif whole := options.complete_prefix(name):
        layers.fault(path, f"sbatch would read it as {whole}", "write whole names")


def _check_array(layers: Layers, values: dict[str, Any]) -> None:
    array = (values.get("slurm") or {}).get("array")
    if array is not None and (values.get("requeue") or {}).get("by") == "successor":
        what = "stands beside slurm.array; a job queued for one task would not be of the array"
        layers.fault(
            ("requeue", "by"), what, "leave it out: the tasks of an array go on by requeue"
        )


def _check_shrink(layers: Layers, values: dict[str, Any]) -> None:
    """Note options that a second, smaller job could not share with the first."""
    requeue, slurm = values.get("requeue") or {}, values.get("slurm") or {}
    shrunk, place = requeue.get("shrink_to"), ("requeue", "shrink_to")
    if not isinstance(shrunk, int):
        return
    least = count_nodes(str(slurm.get("nodes", 1)).partition("-")[0])
    if least and shrunk >= least:
        layers.fault(
            place,
            f"{shrunk} is not less than slurm.nodes, {slurm.get('nodes', 1)}",
            "ask for fewer nodes",
        )
    if requeue.get("by") == "requeue":
        layers.fault(
            place, "asks for less as another job, and requeue.by is requeue", "leave requeue.by out"
        )
    refused = {
        "array": "the tasks of an array go on by requeue",
        "gpus": "it counts all nodes: use gpus-per-node",
        "nodelist": "a job of fewer nodes would ask for these all the same",
    }
    for key, why in refused.items():
        if slurm.get(key) is not None:
            layers.fault(place, f"beside slurm.{key}", why)
    if "singleton" in str(slurm.get("dependency") or ""):
        layers.fault(
            place,
            "beside slurm.dependency: singleton",
            "the smaller job would wait for the first one",
        )
