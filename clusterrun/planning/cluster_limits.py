"""Requests that do not fit the cluster, as sinfo shows its partitions and nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from clusterrun import units
from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec import gpus, grammar
from clusterrun.job_spec.model import Slurm
from clusterrun.planning.idle_gpus import find_idle_gpus
from clusterrun.planning.preparation import Prepared
from clusterrun.slurm.commands import installed
from clusterrun.slurm.partitions import NodeGroup, PartitionResources, list_partitions

_UNITS = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


@dataclass(frozen=True)
class Fault:
    """What a partition cannot fulfil: the key of `slurm`, a message, and the value that it can."""

    key: str
    message: str
    most: str


@dataclass(frozen=True)
class Need:
    """What a job needs on each node, by the key that requests it."""

    key: str
    text: str
    amount: int
    on_node: Callable[[NodeGroup], int]
    show: Callable[[int], str] = str


def refuse_unfit_requests(prepared: Prepared) -> None:
    """Raise SpecError for requests that do not fit the cluster.

    They would be refused, would stay pending for good, or would train on CPUs next to GPUs. Nothing
    is refused without Slurm on this machine, or if sinfo does not respond.
    """
    if not installed():
        return
    partitions = list_partitions(prepared.request.environment)
    problems = [*_find_impossible(prepared, partitions), *find_idle_gpus(prepared, partitions)]
    if partitions and problems:
        raise SpecError(problems)


def _find_impossible(prepared: Prepared, partitions: list[PartitionResources]) -> Iterator[Problem]:
    slurm = prepared.loaded.spec.slurm
    if slurm.options.get("reservation"):
        return  # its nodes may be others
    known = {one.name: one for one in partitions}
    names = slurm.partition.split(",") if slurm.partition else [
        one.name for one in partitions if one.is_default
    ]  # fmt: skip
    for name in names:
        if name not in known:
            what = f"partition {name!r} does not exist"
            where = prepared.loaded.line_of("slurm", "partition")
            yield Problem(where, "slurm.partition", what, propose_partition(name, [*known]))
    if any(name not in known for name in names):
        return
    if not names:
        what, hint = "the cluster has no default partition", f"use one of {', '.join(known)}"
        yield Problem(prepared.loaded.line_of("slurm"), "slurm.partition", what, hint)
        return
    faults = [find_faults(slurm, known[name]) for name in names]
    if not all(faults):
        return  # one of them can run the job
    suitable = [one.name for one in partitions if one.is_up and not find_faults(slurm, one)]
    for fault in faults[0]:
        where = prepared.loaded.line_of("slurm", fault.key)
        hint = fault.most
        if suitable:
            hint += f", or a partition that can run it: {', '.join(suitable)}"
        yield Problem(where, f"slurm.{fault.key.replace('_', '-')}", fault.message, hint)


def propose_partition(name: str, known: list[str]) -> str:
    """Return a hint for an unknown partition: the most similar one, and all of them."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    near = get_close_matches(name, known, 1)
    listed = f"this cluster has {', '.join(known)}"
    return f"did you mean {near[0]}? {listed}" if near else f"use another one: {listed}"


def find_faults(slurm: Slurm, partition: PartitionResources) -> list[Fault]:
    """Return what a partition cannot fulfil.

    A QOS may override its limits of time and nodes (sacctmgr(1), flags PartitionTimeLimit and
    PartitionMaxNodes), so these are not faults of a job with one.
    """
    if not partition.groups:
        return []  # its nodes may be added when they are needed
    faults = [*_node_faults(slurm, partition)]
    return faults if slurm.qos else [*_limit_faults(slurm, partition), *faults]


def _limit_faults(slurm: Slurm, partition: PartitionResources) -> Iterator[Fault]:
    key = "time_min" if slurm.time_min else "time"
    requested = units.seconds_of_slurm_time(slurm.time_min or slurm.time or "0")
    limit = partition.time_limit_s
    if limit is not None and (requested is None or requested > limit):
        shown = units.format_slurm_time(limit)
        requested_time = "" if requested is None else f" ({units.format_duration(requested)})"
        what = (
            f"{slurm.time_min or slurm.time}{requested_time} exceeds the time limit of "
            f"partition {partition.name}, {shown}"
        )
        yield Fault(key, what, f"use at most {shown}")
    least, most = grammar.least_nodes(slurm.nodes), partition.most_nodes_of_a_job
    if most is not None and most < least <= partition.nodes:
        what = f"a job in partition {partition.name} may have at most {most} nodes, not {least}"
        yield Fault("nodes", what, f"use at most {most}")


def _node_faults(slurm: Slurm, partition: PartitionResources) -> Iterator[Fault]:
    least, found = grammar.least_nodes(slurm.nodes), partition.nodes
    if least > found:
        what = f"{least} nodes requested, but partition {partition.name} has {found}"
        most = found if slurm.qos else min(found, partition.most_nodes_of_a_job or found)
        yield Fault("nodes", what, f"use at most {most}")
    needs, possible = [*_needs_of_node(slurm)], list(partition.groups)
    for need in needs:
        largest = max(map(need.on_node, partition.groups))
        if need.amount > largest:
            what = (
                f"{need.text}, but the nodes of partition {partition.name} have at most "
                f"{need.show(largest)}"
            )
            yield Fault(need.key, what, f"use at most {need.show(largest)}")
        possible = [group for group in possible if need.on_node(group) >= need.amount]
    count = sum(group.count for group in possible)
    if possible and count < min(least, found):
        what = (
            f"{least} nodes requested, but only {count} of partition {partition.name} "
            f"have what each needs: {', '.join(need.text for need in needs)}"
        )
        yield Fault("nodes", what, f"use at most {count}")


def _needs_of_node(slurm: Slurm) -> Iterator[Need]:
    options = {
        key: value for key, value in slurm.options.items() if key != "gpus_per_node_without_gres"
    }
    count = gpus.count_per_node(options, grammar.most_nodes(slurm.nodes))
    if count:
        key = next(iter(gpus.find_requests(options))).replace("-", "_")
        yield Need(key, f"{count} GPU{'s' * (count > 1)} per node", count, lambda one: one.gpus)
    for key, cpus in (
        ("cpus_per_task", slurm.cpus_per_task or 0),
        ("cpus_per_gpu", (slurm.cpus_per_gpu or 0) * count),
    ):
        if cpus:
            yield Need(key, f"{cpus} CPUs per node", cpus, lambda one: one.cpus)
    for key, each, times in (
        ("mem", slurm.mem, 1),
        ("mem_per_cpu", slurm.mem_per_cpu, slurm.cpus_per_task or 1),
        ("mem_per_gpu", slurm.mem_per_gpu, count),
    ):
        memory = megabytes(each or "0") * times
        if memory:
            text = f"{_show_memory(memory)} of memory per node"
            yield Need(key, text, memory, _memory_of, _show_memory)


def _memory_of(group: NodeGroup) -> int:
    return group.memory_mb or 10**12  # unknown


def megabytes(text: str) -> int:
    """Return an amount of memory as sbatch reads it: in megabytes without a unit."""
    number, unit = text.upper().rstrip("B"), "M"
    if number[-1:] in _UNITS:
        number, unit = number[:-1], number[-1]
    return int(int(number) * _UNITS[unit])


def _show_memory(size: int) -> str:
    return f"{size // 1024}G" if size % 1024 == 0 else f"{size}M"
