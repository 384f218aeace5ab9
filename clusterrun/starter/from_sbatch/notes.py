"""How a new run differs from the old script, and what was not translated; each with its line."""

from __future__ import annotations

from collections.abc import Iterator

from clusterrun.errors import Problem
from clusterrun.job_spec import options
from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand
from clusterrun.starter.from_sbatch.setup import lines_after


def notes_of(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand, draft: Draft
) -> list[Problem]:
    """Return what a person should know, in the order of the lines."""
    found = sorted(
        {
            *_note_launch(requested, selected),
            *_note_options(requested),
            *_note_omissions(facts, selected),
            *_note_setup(draft),
        }
    )
    made = [
        Problem(f"{facts.name}:{line}" if line else facts.name, "", what) for line, what in found
    ]
    return [*draft.notes, *made]


def _note_launch(
    requested: ResourceRequest, selected: SelectedCommand
) -> Iterator[tuple[int, str]]:
    started = selected.started
    if not selected.launched and started.kind in (*launchers.LAUNCHERS, "python") and selected.why:
        yield started.line, f"stays as a `command`, run on each node as written: {selected.why}"
    elif not selected.launched:
        where = (
            "each node"
            if started.srun or requested.nodes == 1
            else "the first node alone, as before,"
        )
        yield started.line, f"stays as a `command`, run on {where} as written"
    elif started.kind == "python" and requested.nodes * requested.tasks_a_node > 1:
        what = (
            "accelerate now starts the processes: RANK, LOCAL_RANK and WORLD_SIZE say who they "
            "are, not SLURM_PROCID"
        )
        yield started.line, what
    elif started.kind in ("torchrun", "deepspeed", "python"):
        what = f"started by `accelerate launch` in place of {started.kind}"
        yield started.line, f"{what}; its environment needs accelerate"
    yield from _note_dropped_parts(selected)


def _note_dropped_parts(selected: SelectedCommand) -> Iterator[tuple[int, str]]:
    """Yield what surrounds the started command and is not in the spec."""
    started = selected.started
    for line, flag, name in selected.left:
        yield line, f"{flag} is left out: the script has {name} in its environment"
    srun = started.srun.options if started.srun else {}
    for name in sorted(
        set(srun) & {"container-image", "container-mounts", "multi-prog", "mpi", "export"}
    ):
        yield (
            started.line,
            f"srun --{name}={srun[name]} is not taken over: the job script calls srun itself",
        )
    for text in started.dropped:
        feeds = text.endswith("|") or text.lstrip("0123456789").startswith("<")
        instead = (
            "nothing is written to its standard input"
            if feeds
            else "`clusterrun logs` shows what it prints"
        )
        yield started.line, f"`{text}` is left out: {instead}"
    if started.inside and selected.launched:
        what = "the loop or condition around it is left out"
        yield started.line, f"{what}: the job script starts one launcher a node"


def _note_options(requested: ResourceRequest) -> Iterator[tuple[int, str]]:
    for name, option in requested.directives.options.items():
        if name in options.TASKS and requested.tasks_a_node > 1:
            tasks = requested.tasks_a_node
            what = f"--{name}={option.value}: one task a node now; {tasks} times its CPUs"
            yield option.line, what
        elif name in ("output", "error") and "%" in str(
            option.value
        ):  # without, it is a mistake, and told as one
            what = f"--{name} is left out: each attempt has a log of its own"
            yield option.line, f"{what}, which `clusterrun logs` shows"
        elif name in options.REFUSED or name in ("input", "export-file"):
            why = options.REFUSED.get(name) or options.OWNED[name]
            yield option.line, f"--{name} is not taken over: {why}"
    if (
        requested.number("ntasks") > 1
        and not requested.text("nodes")
        and not requested.text("ntasks-per-node")
    ):
        yield (
            requested.line("ntasks"),
            "Slurm could spread these tasks over several nodes; the spec asks for one node",
        )
    name, lead, batch = requested.signal
    if name and (batch or name != "USR1"):
        told = " and passes it on to the script as checkpoint.signal" if not batch else ""
        yield (
            requested.line("signal"),
            f"the job script asks for USR1@{lead} itself, on each node{told}",
        )


def _note_omissions(facts: Facts, selected: SelectedCommand) -> Iterator[tuple[int, str]]:
    for line in lines_after(facts, selected):
        yield line, "not taken over: a run ends with its training"
    for line, _ in facts.traps:
        yield line, "the trap is left out: the job script saves and requeues by itself"
    if facts.reads_arguments:
        what = "what is typed behind the script's name at sbatch is not in the spec"
        yield 0, f"{what}: write it into args"
    for line in facts.unreadable:
        yield line, "cannot be read as bash; it stays as written"


def _note_setup(draft: Draft) -> Iterator[tuple[int, str]]:
    environment = draft.values.get("environment") or {}
    setup = range(len(environment.get("setup", ())))
    lines = [
        draft.comments.get(("environment", "setup", number), "").removeprefix("line ")
        for number in setup
    ]
    if lines:
        which = f"line{'s' * (len(lines) > 1)} {', '.join(dict.fromkeys(lines))}"
        what = f"{which}: kept in environment.setup, which runs on the first node"
        yield 0, f"{what}, and where each must succeed"
    activated = any(
        "activate" in line or line.startswith("use_") for line in environment.get("setup", ())
    )
    if not activated and not {"venv", "conda", "modules"} & set(environment):
        yield 0, "names no Python: say which in environment.venv, conda or modules"
