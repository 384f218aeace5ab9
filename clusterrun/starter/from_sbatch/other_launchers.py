"""The keys of the launchers torchrun and srun, from the launch of an old script."""

from __future__ import annotations

from clusterrun.job_spec import srun_options
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.sections import accelerate_section
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand, tasks_of
from clusterrun.starter.from_sbatch.uncounted_gpus import uses_uncounted_gpus

_OF_ANY_TASK = frozenset({"environment", "network", "uenv", "view"})


def add_launcher_keys(
    draft: Draft, facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> list[str]:
    """Add the keys of the launcher, and of srun itself; return the flags without a key."""
    section, left = accelerate_section(selected.parsed, None)
    if section.get("tee"):
        draft.values["tee"] = section["tee"]
    count = _count_processes(requested, selected)
    if count:
        draft.values["nproc_per_node"] = count
    if uses_uncounted_gpus(facts, requested, selected):
        draft.values["accelerate"] = {"use_cpu": False}
        draft.comments["accelerate", "use_cpu"] = "the script uses GPUs, and requests none"
    return left


def _count_processes(requested: ResourceRequest, selected: SelectedCommand) -> int:
    """Return the processes of each node; 0 if they follow from the GPUs."""
    gpus = requested.gpus_a_node
    if selected.launcher == "srun":
        tasks = tasks_of(selected.started, requested)
        return 0 if tasks == max(gpus, 1) else tasks
    each = selected.parsed.value("nproc_per_node", "num_gpus") or ""
    return int(each) if not gpus and each.isdigit() and int(each) > 1 else 0


def carried_options(selected: SelectedCommand) -> dict[str, str | bool]:
    """Return the options of a training's srun that a spec passes to its own srun.

    With accelerate or torchrun there is one task on each node, so options that bind tasks to CPUs
    and GPUs are not among them.
    """
    srun = selected.started.srun
    allowed = srun_options.ALLOWED if selected.launcher == "srun" else _OF_ANY_TASK
    return {
        name: value or True
        for name, value in (srun.options if srun else {}).items()
        if name in allowed and (name, value) != ("cpu-bind", "none")
    }
