"""Rules of a spec's GPU requests: valid, possible on one node, equal on all nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.layers import Layers


def check_gpus(layers: Layers, slurm: dict[str, Any]) -> None:
    """Record every GPU request that cannot be parsed, so that none counts as a run without GPUs."""
    extra = slurm.get("additional_parameters")
    for path, options in (
        ((), slurm),
        (("additional_parameters",), extra if isinstance(extra, dict) else {}),
    ):
        for key, value in options.items():
            if value is not None:
                _check_option(layers, ("slurm", *path, str(key)), value)
    _check_ways(layers, slurm)
    _check_other_resources(layers, slurm)
    _check_division(layers, slurm)


def _check_option(layers: Layers, path: tuple[str, ...], value: Any) -> None:
    name, hint = path[-1].replace("_", "-"), "list this site's GPUs with sinfo --format=%G"
    checked_by_its_type = ("slurm", "gpus_per_node"), ("slurm", "gpus_per_task"), ("slurm", "gpus")
    try:
        requests = gpus.find_requests({name: value})
    except ValueError as error:
        if path not in checked_by_its_type:
            layers.add_problem(path, str(error).partition("\n")[0], hint)
        return
    counts = (
        [one for listing in requests.values() for one in listing]
        if name not in ("gpus", "tres-per-job")
        else []
    )
    for one in counts:
        if one.count > gpus.MOST_OF_NODE:
            typed = f"gpu:{one.count}:1" if name in gpus.LISTS else f"{one.count}:1"
            layers.add_problem(
                path,
                f"Slurm reads {one.count} as a number of GPUs",
                f"write {typed} for one GPU of type {one.count}",
            )


def _check_ways(layers: Layers, slurm: Mapping[str, Any]) -> None:
    """Record a second option that requests GPUs: Slurm's versions combine them differently."""
    try:
        first, *others = [*gpus.find_requests(slurm)] or [""]
    except ValueError:
        return
    for name in others:
        what = f"cannot be combined with {first}: both request GPUs"
        path = ("slurm", name.replace("-", "_"))
        layers.add_problem(path, what, "use one of them; gpus-per-node is the clearest")
    for key in ("cpus_per_gpu", "mem_per_gpu"):
        if first == "gpus-per-node-without-gres" and slurm.get(key) is not None:
            what = "requires GPUs that Slurm counts"
            layers.add_problem(
                ("slurm", key), what, f"use {'cpus-per-task' if 'cpu' in key[:4] else 'mem'}"
            )


def _check_other_resources(layers: Layers, slurm: Mapping[str, Any]) -> None:
    """Record a site's own resource, such as gpumem, if no option requests GPUs."""
    try:
        requested = gpus.are_requested(slurm)
    except ValueError:
        return
    for key in [*slurm] if not requested else []:
        if key.replace("_", "-") in gpus.LISTS and (
            others := gpus.other_gpu_resources(str(slurm[key] or ""))
        ):
            what = f"{others[0][:80]!r} does not request GPUs, and no other option does"
            layers.add_problem(
                ("slurm", key), what, "add gpus-per-node, or delete this for a run on CPUs"
            )


def _check_division(layers: Layers, slurm: Mapping[str, Any]) -> None:
    text, nodes = str(slurm.get("gpus") or ""), str(slurm.get("nodes", 1))
    try:
        count, most = gpus.parse_count(text).count, grammar.most_nodes(grammar.check_nodes(nodes))
    except ValueError:
        return
    if "-" in nodes:
        layers.add_problem(
            ("slurm", "gpus"),
            f"is a total over all nodes, but slurm.nodes is the range {nodes}",
            "use gpus-per-node",
        )
    elif count % most:
        layers.add_problem(
            ("slurm", "gpus"),
            f"{count} GPUs are not divisible by {most} nodes",
            "use gpus-per-node; gpus is the total over all nodes",
        )
    elif count // most > gpus.MOST_OF_NODE:
        what = f"Slurm reads {count} as a number of GPUs"
        layers.add_problem(("slurm", "gpus"), what, f"write {count}:1 for one GPU of type {count}")
