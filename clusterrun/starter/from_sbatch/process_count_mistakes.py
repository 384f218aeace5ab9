"""Mistakes in the number of processes that an old script starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand, tasks_of

# one process that uses several GPUs
_SPLITS_MODEL = re.compile(
    r"vllm|sglang|ray\b|tensor.parallel|pipeline|device.?map|model.parallel|\btp\b", re.IGNORECASE
)
Mistakes = Iterator[tuple[int, str, str, str]]


def _find_many_launchers(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    started = selected.started
    tasks = tasks_of(started, requested)
    if started.kind in launchers.LAUNCHERS and started.srun is not None and tasks > 1:
        line = requested.line("ntasks-per-node", "ntasks", "ntasks-per-gpu") or started.line
        what = (
            f"srun starts {tasks} launchers per node, and each starts processes for all GPUs of "
            "the node"
        )
        yield line, "launchers", what, "fixed: one task per node, with the CPUs of all tasks"


def _find_num_processes(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    word = selected.parsed.flags.get("num_processes")
    if word is None or not word.text.isdigit() or selected.started.kind != "accelerate":
        return
    total, nodes, gpus = int(word.text), requested.nodes, requested.gpus_a_node
    if gpus and total != nodes * gpus:
        each = f", not of one node ({total})" if total == gpus else ""
        what = (
            f"--num_processes is the total over all nodes{each}: {nodes} x {gpus} = {nodes * gpus}"
        )
        yield (
            word.line,
            "num-processes",
            what,
            "fixed: each node starts one process per GPU",
        )
    elif not gpus and total % nodes:
        what = (
            f"--num_processes is the total over all nodes, and {total} is not divisible by {nodes}"
        )
        yield (
            word.line,
            "num-processes",
            what,
            f"changed to {total * nodes}: {total} per node",
        )


def _find_num_machines(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    for name in ("num_machines", "nnodes"):
        value = selected.parsed.value(name)
        if value and value.isdigit() and int(value) != requested.nodes:
            word = selected.parsed.flags[name]
            what = f"--{name} is {value}, but the job requests {requested.nodes} nodes"
            yield word.line if word else 0, "machines", what, "fixed: taken from slurm.nodes"


def _find_idle_gpus(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    if (
        selected.started.kind == "python"
        and requested.gpus_a_node > 1
        and tasks_of(selected.started, requested) == 1
        and not _SPLITS_MODEL.search(selected.started.text)
    ):
        what = f"one process for {requested.gpus_a_node} GPUs: without a launcher, most are idle"
        yield (
            selected.started.line,
            "idle-gpus",
            what,
            "use script in the spec: accelerate starts one process per GPU",
        )


def _find_single_cpu_process(
    _facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    count = selected.parsed.value("num_processes") or "1"
    if (
        selected.started.kind == "accelerate"
        and "cpu" in selected.parsed.flags
        and count != "1"
        and "--mpirun" not in selected.started.text
    ):
        what = f"without mpirun, accelerate launch --cpu --num_processes {count} starts one process"
        yield selected.started.line, "cpu", what, f"fixed: the run has {count} processes, with gloo"


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Mistakes], ...] = (
    _find_many_launchers,
    _find_num_processes,
    _find_num_machines,
    _find_idle_gpus,
    _find_single_cpu_process,
)
