"""Mistakes in the shell code of an old script: traps, background, activation, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand

Mistakes = Iterator[tuple[int, str, str, str]]

_SIGNALS = re.compile(r"\b(?:SIG)?(USR1|USR2|TERM|HUP|INT|CONT|10|12|15)\b")


def _find_trap(facts: Facts, requested: ResourceRequest, selected: SelectedCommand) -> Mistakes:
    traps = [(line, text) for line, text in facts.traps if _SIGNALS.search(text)]
    is_waited_for = selected.started.background and any(
        line >= selected.started.line for line in facts.waits
    )
    name, _, batch = requested.signal
    for line, _text in traps:
        if not is_waited_for:
            what = (
                "bash runs a trap only after its foreground command, here the training, has ended"
            )
            yield (
                line,
                "trap",
                what,
                (
                    "no longer needed; to make a trap work, start the training in the background "
                    "with & and wait for it"
                ),
            )
        if name and not batch:
            what = f"--signal={name} without B: goes to the tasks of srun, not to this shell"
            yield (
                requested.line("signal"),
                "trap-signal",
                what,
                "fixed: the node shells of the job script receive it",
            )


def _find_background(
    facts: Facts, _requested: ResourceRequest, selected: SelectedCommand
) -> Mistakes:
    started = selected.started
    if (
        started.background
        and not any(line >= started.line for line in facts.waits)
        and "wait" not in started.inside
    ):
        what = "runs in the background, and nothing waits for it: the job ends at once and kills it"
        yield started.line, "background", what, "fixed: the job script waits for it"


def _find_strict(facts: Facts, _requested: ResourceRequest, selected: SelectedCommand) -> Mistakes:
    prepared = [line for line, _ in (*facts.module_folders, *facts.modules)]
    prepared += [place[0] for place in (facts.venv, facts.conda, facts.folder) if place]
    prepared += [
        kept.line
        for kept in facts.kept
        if kept.text.startswith(("module ", "use_venv ", "use_conda "))
    ]
    if prepared and not facts.strict and not selected.started.shell:
        what = (
            "without `set -e` the script continues if this fails, and trains with another Python "
            "or not at all"
        )
        yield min(prepared), "set-e", what, "fixed: the job script stops and reports what failed"


def _find_module_order(
    facts: Facts, _requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    place = facts.venv or facts.conda
    for line, name in facts.modules:
        if place and line > place[0]:
            what = (
                f"module load {name} after the activation puts its programs, also python, first in "
                "PATH"
            )
            yield line, "module-order", what, "fixed: the job script loads modules first"


def _find_secrets(
    facts: Facts, _requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    written = set(facts.written_secrets.values())
    lines = facts.text.splitlines()
    for name, line in facts.secrets.items():
        is_written = any(_has_value(lines, number, name) for number in range(line - 1, line + 1))
        if name in written or is_written:
            what = (
                f"the value of {name} is in the script, readable for everyone who can read it or a "
                "copy"
            )
            hint = (
                f"revoke that value, and export {name} in the shell that you submit from; the spec "
                "has only the name"
            )
            yield line, "secret", what, hint


def _has_value(lines: list[str], number: int, name: str) -> bool:
    from clusterrun.job_spec.secret_forms import names_of_secrets  # noqa: PLC0415

    return 0 <= number < len(lines) and name in names_of_secrets(lines[number])


def _find_pipe(facts: Facts, _requested: ResourceRequest, selected: SelectedCommand) -> Mistakes:
    if selected.started.piped and "pipefail" not in facts.text:
        what = (
            "without `set -o pipefail` a pipe has the exit code of its last command, so a crash "
            "looks like success"
        )
        yield (
            selected.started.line,
            "pipe",
            what,
            "fixed: the pipe is removed; clusterrun logs shows the output",
        )


def _find_devices(facts: Facts, requested: ResourceRequest, _selected: SelectedCommand) -> Mistakes:
    variable = facts.variables.get("CUDA_VISIBLE_DEVICES")
    if variable is not None and requested.gpus_a_node:
        what = (
            "Slurm sets CUDA_VISIBLE_DEVICES to the GPUs of the job; this value may name others or "
            "fewer"
        )
        yield variable.line, "devices", what, "delete it from environment.variables in the spec"


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Mistakes], ...] = (
    _find_trap,
    _find_background,
    _find_strict,
    _find_module_order,
    _find_secrets,
    _find_pipe,
    _find_devices,
)
