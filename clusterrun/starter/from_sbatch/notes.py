"""Notes on how a new run differs from the old script, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clusterrun.errors import Problem
from clusterrun.job_spec import options
from clusterrun.starter.from_sbatch import launchers
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.other_launchers import carried_options
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand
from clusterrun.starter.from_sbatch.setup import lines_after

# The job script sets these by itself, or they follow from the spec.
_HANDLED_OF_SRUN = frozenset(
    """
    nodes ntasks ntasks-per-node cpus-per-task kill-on-bad-exit label unbuffered jobid nodelist
    relative gres gpus gpus-per-node gpus-per-task gpus-per-tres exclusive wait quiet verbose
    job-name overlap exact mem time partition account tasks-per-node
    """.split()
)


_COUNTS_NODES = re.compile(r"\$\{?SLURM_(NNODES|JOB_NUM_NODES)\b")


def notes_of(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand, draft: Draft
) -> list[Problem]:
    """Return the notes for the user, in the order of the lines."""
    notes = sorted(
        {
            *_note_launch(requested, selected),
            *_note_options(requested, selected, facts.text),
            *_note_omissions(facts, requested, selected, draft),
            *_note_setup(draft),
        }
    )
    problems = [
        Problem(f"{facts.name}:{line}" if line else facts.name, "", what) for line, what in notes
    ]
    return [*draft.notes, *problems]


def _note_launch(
    requested: ResourceRequest, selected: SelectedCommand
) -> Iterator[tuple[int, str]]:
    started = selected.started
    if not selected.launched and started.kind in (*launchers.LAUNCHERS, "python") and selected.why:
        yield started.line, f"becomes a command, which runs on each node as written: {selected.why}"
    elif not selected.launched:
        where = "each node" if started.srun or requested.nodes == 1 else "the first node only"
        yield started.line, f"becomes a command, which runs on {where} as written"
    elif started.kind == "deepspeed":
        yield started.line, "torchrun replaces deepspeed"
    elif started.kind == "python" and selected.launcher == "accelerate":
        what = "accelerate launch replaces python"
        yield started.line, f"{what}; install accelerate in its environment"
    yield from _note_dropped_parts(selected)


def _note_dropped_parts(selected: SelectedCommand) -> Iterator[tuple[int, str]]:
    """Yield notes on what surrounds the command and is not in the spec."""
    started = selected.started
    for line, flag, name in selected.left:
        yield line, f"{flag} removed: read {name} from the environment in the training script"
    srun = started.srun.options if started.srun else {}
    if "environment" in carried_options(selected):
        what = "srun --environment is passed on; its container needs bash, and the run folder"
        yield started.line, what
    for name in sorted(set(srun) - _HANDLED_OF_SRUN - {*carried_options(selected)}):
        if name != "export" or not srun[name].upper().startswith("ALL"):
            option = f"--{name}={srun[name]}" if srun[name] else f"--{name}"
            yield started.line, f"srun {option} not translated: the job script calls srun itself"
    if started.piped and selected.launched:
        yield started.line, "the pipe is removed: clusterrun logs shows the output"
    for text in started.dropped:
        feeds = text.endswith("|") or text.lstrip("0123456789").startswith("<")
        instead = (
            "the command has no standard input" if feeds else "clusterrun logs shows its output"
        )
        yield started.line, f"`{text}` removed: {instead}"
    if started.inside and selected.launched:
        what = "the loop or condition around it is removed"
        yield started.line, f"{what}: the job script starts one launcher per node"


def _note_options(
    requested: ResourceRequest, selected: SelectedCommand, text: str
) -> Iterator[tuple[int, str]]:
    for name, option in requested.directives.options.items():
        if name in options.TASKS and requested.tasks_a_node > 1 and selected.launcher != "srun":
            tasks = requested.tasks_a_node
            what = (
                f"--{name}={option.value} replaced by one task per node with {tasks} times its CPUs"
            )
            yield option.line, what
        elif name in ("output", "error") and "%" in str(
            option.value
        ):  # without a pattern it is reported as a mistake
            what = f"--{name} removed: each attempt has its own log"
            yield option.line, f"{what} (see clusterrun logs)"
        elif name in options.REFUSED or name in ("input", "export-file"):
            reason = options.REFUSED.get(name) or options.OWNED[name]
            yield option.line, f"--{name} not translated: {reason.partition('; ')[2] or reason}"
    if "nodes" not in requested.directives.options and _COUNTS_NODES.search(text):
        what = "no --nodes: the spec requests one node; set slurm.nodes if sbatch was given another"
        yield 0, what
    if (
        requested.number("ntasks") > 1
        and not requested.text("nodes")
        and not requested.text("ntasks-per-node")
    ):
        yield (
            requested.line("ntasks"),
            "Slurm could spread these tasks over several nodes; the spec requests one node",
        )
    name, lead, batch = requested.signal
    if name and (batch or name != "USR1"):
        forwarding = ", and sends the script checkpoint.signal" if not batch else ""
        yield (
            requested.line("signal"),
            f"the job script requests USR1@{lead} itself, on each node{forwarding}",
        )


def _note_cpus(draft: Draft) -> Iterator[tuple[int, str]]:
    accelerate = draft.values.get("accelerate") or {}
    if not {"use_cpu", "config_file"} & set(accelerate):
        what = "requests no GPU, and names none: it trains on CPUs"
        yield 0, f"{what}; for GPUs that Slurm does not count, write accelerate: {{use_cpu: false}}"


def _note_omissions(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand, draft: Draft
) -> Iterator[tuple[int, str]]:
    command = selected.started.shell or selected.started.inside
    last = selected.started.line + command.count("\n")
    for line in lines_after(facts, selected):
        if command and selected.started.line <= line <= last:
            continue
        yield line, "not translated: a run ends with its training"
    for line, _ in facts.traps:
        yield line, "trap removed: the job script saves and requeues by itself"
    if facts.conda and facts.conda_line and not facts.conda_base:
        what = "submit uses the conda of your shell (CONDA_EXE), as `conda info --base` did"
        yield facts.conda_line[0], f"{what}; environment.conda_base names another one"
    if not requested.gpus_a_node and selected.launched:
        yield from _note_cpus(draft)
    if facts.reads_arguments:
        what = "arguments after the script's name in sbatch are not in the spec"
        yield 0, f"{what}; pass them to init after --"
    for name, line in facts.unset.items():
        yield line, f"${name} omitted: neither the script nor your shell sets it"
    for line in facts.unreadable:
        yield line, "cannot be parsed as bash; kept as written"


def _list_lines(draft: Draft, key: str) -> list[str]:
    """Return the numbers of the script's lines that a key of the environment keeps."""
    texts = (draft.values.get("environment") or {}).get(key, ())
    comments = (
        draft.comments.get(("environment", key, number), "") for number in range(len(texts))
    )
    return [comment.removeprefix("line ") for comment in comments]


def _note_setup(draft: Draft) -> Iterator[tuple[int, str]]:
    environment = draft.values.get("environment") or {}
    lines = _list_lines(draft, "setup_first") + _list_lines(draft, "setup")
    if lines:
        which = f"line{'s' * (len(lines) > 1)} {', '.join(dict.fromkeys(lines))}"
        keys = " and ".join(key for key in ("setup_first", "setup") if environment.get(key))
        what = f"{which}: moved to environment.{keys}, which runs on the first node"
        yield 0, f"{what}; each line must succeed"
    activated = any(
        "activate" in line or line.startswith("use_") for line in environment.get("setup", ())
    )
    if not activated and not {"venv", "conda", "modules"} & set(environment):
        yield 0, "does not select a Python; set environment.venv, conda or modules"
