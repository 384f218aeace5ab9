"""Mistakes in how many processes an old script starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand, tasks_of

Found = Iterator[tuple[int, str, str, str]]


def _find_many_launchers(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Found:
    started = selected.started
    tasks = tasks_of(started, requested)
    if started.kind in launchers.LAUNCHERS and started.srun is not None and tasks > 1:
        line = requested.line("ntasks-per-node", "ntasks", "ntasks-per-gpu") or started.line
        what = (
            f"srun starts {tasks} launchers on each node, each of which starts processes for all "
            "of its GPUs"
        )
        yield line, "launchers", what, "one task a node now, and the CPUs of all in it"


def _find_num_processes(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Found:
    word = selected.parsed.flags.get("num_processes")
    if word is None or not word.text.isdigit() or selected.started.kind != "accelerate":
        return
    given, nodes, gpus = int(word.text), requested.nodes, requested.gpus_a_node
    if gpus and given != nodes * gpus:
        each = f", and {given} is one node's" if given == gpus else ""
        what = f"--num_processes counts all nodes{each}: {nodes} x {gpus} GPUs are {nodes * gpus}"
        yield (
            word.line,
            "num-processes",
            what,
            "processes are now counted from the GPUs that Slurm gives",
        )
    elif not gpus and given % nodes:
        what = f"--num_processes counts all nodes, and {given} do not divide over {nodes}"
        yield (
            word.line,
            "num-processes",
            what,
            f"the spec has {given * nodes}: {given} for each node",
        )


def _find_num_machines(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Found:
    for name in ("num_machines", "nnodes"):
        given = selected.parsed.value(name)
        if given and given.isdigit() and int(given) != requested.nodes:
            word = selected.parsed.flags[name]
            what = f"--{name} is {given}, and sbatch is asked for {requested.nodes}"
            yield word.line if word else 0, "machines", what, "it is slurm.nodes now"


def _find_idle_gpus(_facts: Facts, requested: ResourceRequest, selected: SelectedCommand) -> Found:
    if (
        selected.started.kind == "python"
        and requested.gpus_a_node > 1
        and tasks_of(selected.started, requested) == 1
    ):
        what = f"one process for {requested.gpus_a_node} GPUs: without a launcher most of them idle"
        yield (
            selected.started.line,
            "idle-gpus",
            what,
            "as `script:` in the spec, accelerate starts one for each GPU",
        )


def _find_single_cpu_process(
    _facts: Facts, _asked: ResourceRequest, selected: SelectedCommand
) -> Found:
    count = selected.parsed.value("num_processes") or "1"
    if (
        selected.started.kind == "accelerate"
        and "cpu" in selected.parsed.flags
        and count != "1"
        and "--mpirun" not in selected.started.text
    ):
        what = (
            f"accelerate launch --cpu --num_processes {count} starts one process where there is no "
            "mpirun"
        )
        yield selected.started.line, "cpu", what, f"the run has {count}, over gloo"


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Found], ...] = (
    _find_many_launchers,
    _find_num_processes,
    _find_num_machines,
    _find_idle_gpus,
    _find_single_cpu_process,
)
