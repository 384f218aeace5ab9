"""What an old script does and a spec cannot express: each is refused with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun.errors import Problem
from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.facts import Facts, Started
from clusterrun.starter.from_sbatch.faults import arguments_hint
from clusterrun.starter.from_sbatch.names_read import positional_read
from clusterrun.starter.from_sbatch.other_launchers import carried_options
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand, tasks_of
from clusterrun.starter.from_sbatch.uncounted_gpus import counts_no_processes, uses_uncounted_gpus
from clusterrun.starter.from_sbatch.words import names_in

Refusals = Iterator[tuple[int, str, str]]
"""Line, what a spec cannot express, and what to do."""

# A loop that starts the launcher of each node is what the job script does itself.
_OVER_NODES = re.compile(
    r"node_rank|machine_rank|nodelist|\s-w\s*\S|--relative|\s-r\s*\$|\bssh\b|SLURMD_NODENAME",
    re.IGNORECASE,
)
_CONTAINER = ("container-", "environment")


def find_refusals(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> list[Problem]:
    """Return what cannot be translated, in the order of the lines."""
    rules: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Refusals], ...] = (
        _refuse_container,
        _refuse_several_trainings,
        _refuse_condition,
        _refuse_parallel_step,
        _refuse_part_of_nodes,
        _refuse_tasks_of_command,
        _refuse_missing_script,
        _refuse_unset_words,
        _refuse_uncounted_gpus,
    )
    found = sorted({one for rule in rules for one in rule(facts, requested, selected)})
    return [Problem(f"{facts.name}:{line}", "", what, hint) for line, what, hint in found]


def _refuse_container(
    _facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    srun = selected.started.srun
    carried = carried_options(selected)
    for name, value in (srun.options if srun else {}).items():
        if name.startswith(_CONTAINER) and name not in carried:
            what = f"srun --{name}={value} runs the training in a container, which would be lost"
            hint = (
                "write the container into the command: in a copy of the script, replace the option "
                "with `apptainer exec --nv IMAGE`"
            )
            yield srun.line if srun else 0, what, hint
            return


def _is_training(one: Started, requested: ResourceRequest) -> bool:
    if one.kind in launchers.LAUNCHERS:
        return True
    several = requested.nodes * tasks_of(one, requested) > 1
    return one.kind == "python" and one.srun is not None and several


def _is_again(one: Started, chosen: Started) -> bool:
    """Return whether a function that is called twice starts the same launch twice."""
    same_place = one is not chosen and one.line_of_words == chosen.line_of_words
    return same_place and one.kind == chosen.kind and not one.inside


def _refuse_several_trainings(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    chosen = selected.started
    if not _is_training(chosen, requested):
        return
    places = {
        one.line_of_words
        for one in facts.started
        if _is_training(one, requested) and not (one.inside and one.inside == chosen.inside)
    }
    again = [one for one in facts.started if _is_again(one, chosen)]
    if again:
        what = "starts a training several times; a run has one training"
        hint = (
            "make one spec for each: run this command on copies of the script with one launch each"
        )
        yield chosen.line_of_words, what, hint
    for line in sorted(places - {chosen.line_of_words}):
        what = f"starts a training, and line {chosen.line_of_words} another one; a run has one"
        hint = (
            "make one spec for each: run this command on copies of the script with one launch each"
        )
        yield line, what, hint


def _refuse_condition(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    started = selected.started
    if not started.inside or _OVER_NODES.search(started.inside):
        return
    if started.srun is None and requested.nodes == 1 and not started.shell:
        return  # kept whole, as a command
    first = started.inside.split(maxsplit=1)[0]
    if first in ("until", "while") or re.match(r"for\s*\(*\s*\w+\s*[=i]", started.inside):
        what = "the training is in a loop; a run has one training, and restarts by itself"
        hint = "use a copy of the script without the loop; for several values, make a spec for each"
    else:
        what = "the training depends on a condition, which a spec cannot express"
        hint = "use a copy of the script with only the branch that you need"
    yield started.line_of_words, what, hint


def _refuse_parallel_step(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    chosen = selected.started
    for one in facts.started:
        if one is chosen or one.line_of_words == chosen.line_of_words:
            continue
        if one.background and (one.srun is not None or _is_training(one, requested)):
            what = (
                "runs next to the training, on nodes or GPUs of the same job; a run has one program"
            )
            hint = "start it in a job of its own, and translate a copy of the script without it"
            yield one.line_of_words, what, hint


def _refuse_part_of_nodes(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    started = selected.started
    count = started.srun.options.get("nodes", "") if started.srun else ""
    if started.inside or not count.isdigit() or not 0 < int(count) < requested.nodes:
        return
    what = (
        f"srun starts the training on {count} of {requested.nodes} nodes; a run uses all its nodes"
    )
    yield started.line_of_words, what, f"request {count} nodes in a copy of the script"


def _refuse_tasks_of_command(
    _facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    started = selected.started
    tasks = tasks_of(started, requested)
    if selected.launched or started.srun is None or tasks < 2:
        return
    what = f"srun starts {tasks} tasks on each node, but a command runs once on each"
    hint = (
        f"start the processes of a node with torchrun --nproc-per-node {tasks} in the command, or "
        "use Python without a container, which srun starts once for each task"
    )
    yield started.line_of_words, what, hint


def _refuse_uncounted_gpus(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    parsed = selected.parsed
    if not selected.launched or parsed.kind == "torchrun" or selected.launcher == "srun":
        return
    if uses_uncounted_gpus(facts, requested, selected) and counts_no_processes(
        frozenset(parsed.flags)
    ):
        what = (
            "requests no GPU from Slurm, and the launch does not say how many processes it starts"
        )
        hint = "add --num_processes with the total number of GPUs in a copy of the script"
        yield selected.started.line_of_words, what, hint


def _refuse_missing_script(
    facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    parsed, started = selected.parsed, selected.started
    if (
        parsed.kind in launchers.LAUNCHERS
        and parsed.target is None
        and "no_python" not in parsed.flags
    ):
        what = f"{parsed.kind} starts no script: it is an argument of the old script"
        yield started.line_of_words, what, arguments_hint(facts.name)


def _refuse_unset_words(
    facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Refusals:
    """Yield words of the launch that a missing argument or an unset variable cuts short."""
    for word in selected.started.words:
        for number in sorted(() if word.known else positional_read(word.shell)):
            what = f"${number} is an argument of the old script, which is not known here"
            yield word.line, what, arguments_hint(facts.name)
    path = selected.parsed.flags.get("config_file")
    if path is not None and not path.known:
        names = ", ".join(f"${name}" for name in sorted(names_in(path.text))) or path.text
        what = f"the name of the config file, {path.text}, is not known: {names} is not set here"
        hint = (
            "export it in the shell where you run this command, or write the name into the script"
        )
        yield path.line, what, hint
