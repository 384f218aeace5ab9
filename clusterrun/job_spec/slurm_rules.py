"""Rules of the `slurm` section: refused options, job arrays, and `shrink_to`."""

from __future__ import annotations

import re
from typing import Any

from clusterrun.job_spec import options
from clusterrun.job_spec.accelerate_rules import count_nodes
from clusterrun.job_spec.layers import Layers

MEMORIES = ("mem", "mem_per_cpu", "mem_per_gpu")
_OPTION = re.compile(r"[a-z][a-z0-9-]*")


def check_slurm(layers: Layers, values: dict[str, Any]) -> None:
    """Record every violation of a rule between sbatch's options, or between them and `requeue`."""
    _check_options(layers, values.get("slurm") or {}, launcher=values.get("command") is None)
    _check_array(layers, values)
    _check_shrink(layers, values)


def _check_options(layers: Layers, slurm: dict[str, Any], *, launcher: bool) -> None:
    for key in [*slurm]:
        option = _with_dashes(key)
        reason, hint = options.reason_refused(option, launcher=launcher)
        if reason:
            layers.add_problem(("slurm", key), reason, hint)
            del slurm[key]
    extra = slurm.get("additional_parameters")
    for option in extra if isinstance(extra, dict) else {}:
        _check_additional(layers, str(option), launcher=launcher)
    memories = [key for key in MEMORIES if slurm.get(key) is not None]
    for key in memories[1:]:
        layers.add_problem(
            ("slurm", key),
            f"cannot be combined with {_with_dashes(memories[0])}",
            "use one of mem, mem-per-cpu and mem-per-gpu",
        )


def _with_dashes(key: str) -> str:
    return key.replace("_", "-")


def _check_additional(layers: Layers, option: str, *, launcher: bool) -> None:
    path = ("slurm", "additional_parameters", option)
    name = _with_dashes(option).lower()
    reason, hint = options.reason_refused(name, launcher=launcher)
    if reason:
        layers.add_problem(path, reason, hint)
    elif name in options.KNOWN or name == "chdir":
        layers.add_problem(path, "belongs directly under slurm", f"write slurm: {{{name}: ...}}")
    elif not _OPTION.fullmatch(name):
        layers.add_problem(path, "not the long name of an sbatch option")
    elif whole := options.complete_prefix(name):
        layers.add_problem(path, f"sbatch reads it as {whole}", f"write the full name: {whole}")


def _check_array(layers: Layers, values: dict[str, Any]) -> None:
    array = (values.get("slurm") or {}).get("array")
    if array is not None and (values.get("requeue") or {}).get("by") == "successor":
        what = "cannot be combined with slurm.array: a new job for one task is outside the array"
        layers.add_problem(("requeue", "by"), what, "delete it: the tasks of an array are requeued")


def _check_shrink(layers: Layers, values: dict[str, Any]) -> None:
    """Record options that a second, smaller job cannot share with the first."""
    requeue, slurm = values.get("requeue") or {}, values.get("slurm") or {}
    shrunk, place = requeue.get("shrink_to"), ("requeue", "shrink_to")
    if not isinstance(shrunk, int):
        return
    least = count_nodes(str(slurm.get("nodes", 1)).partition("-")[0])
    if least and shrunk >= least:
        layers.add_problem(
            place,
            f"must be less than slurm.nodes, {slurm.get('nodes', 1)}; got {shrunk}",
            "request fewer nodes",
        )
    if requeue.get("by") == "requeue":
        layers.add_problem(
            place, "cannot be combined with requeue.by: requeue", "delete requeue.by"
        )
    refused = {
        "array": "delete shrink_to: the tasks of an array are requeued",
        "gpus": "use gpus-per-node; gpus is the total over all nodes",
        "nodelist": "delete one of the two: the smaller job would request the same nodes",
    }
    for key, hint in refused.items():
        if slurm.get(key) is not None:
            layers.add_problem(place, f"cannot be combined with slurm.{key}", hint)
    if "singleton" in str(slurm.get("dependency") or ""):
        layers.add_problem(
            place,
            "cannot be combined with slurm.dependency: singleton",
            "delete one of the two: the smaller job would wait for the first one",
        )
