"""Mistakes in an old script's own shell: traps, background, activation, secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand

Found = Iterator[tuple[int, str, str, str]]

_SIGNALS = re.compile(r"\b(?:SIG)?(USR1|USR2|TERM|HUP|INT|CONT|10|12|15)\b")


def _find_trap(facts: Facts, requested: ResourceRequest, selected: SelectedCommand) -> Found:
    traps = [(line, text) for line, text in facts.traps if _SIGNALS.search(text)]
    waited = selected.started.background and any(
        line >= selected.started.line for line in facts.waits
    )
    name, _, batch = requested.signal
    for line, _text in traps:
        if not waited:
            what = (
                "bash runs a trap only when its foreground command has ended: here, when the "
                "training is dead"
            )
            yield (
                line,
                "trap",
                what,
                (
                    "the training would go into the background (&), and be waited for; no trap is "
                    "needed now"
                ),
            )
        if name and not batch:
            what = (
                f"--signal={name} without B: goes to the tasks of srun; this shell does not hear it"
            )
            yield (
                requested.line("signal"),
                "trap-signal",
                what,
                "the nodes' shells of the job script hear it",
            )


def _find_background(facts: Facts, _asked: ResourceRequest, selected: SelectedCommand) -> Found:
    started = selected.started
    if (
        started.background
        and not any(line >= started.line for line in facts.waits)
        and "wait" not in started.inside
    ):
        what = (
            "goes into the background, and nothing waits for it: the job ends at once, and it with "
            "the job"
        )
        yield started.line, "background", what, "the job script waits for it"


def _find_strict(facts: Facts, _asked: ResourceRequest, selected: SelectedCommand) -> Found:
    prepared = [line for line, _ in facts.modules]
    prepared += [place[0] for place in (facts.venv, facts.conda, facts.folder) if place]
    prepared += [
        kept.line
        for kept in facts.kept
        if kept.text.startswith(("module ", "use_venv ", "use_conda "))
    ]
    if prepared and not facts.strict and not selected.started.shell:
        what = (
            "without `set -e` it goes on when this fails, and trains with another Python, or not "
            "at all"
        )
        yield min(prepared), "set-e", what, "the job script stops, and says what failed"


def _find_module_order(facts: Facts, _asked: ResourceRequest, _chosen: SelectedCommand) -> Found:
    place = facts.venv or facts.conda
    for line, name in facts.modules:
        if place and line > place[0]:
            what = (
                f"module load {name} behind the activation puts its own programs, python too, in "
                "front"
            )
            yield line, "module-order", what, "the job script loads modules first"


def _find_secrets(facts: Facts, _asked: ResourceRequest, _chosen: SelectedCommand) -> Found:
    written = set(facts.written_secrets.values())
    lines = facts.text.splitlines()
    for name, line in facts.secrets.items():
        usual = any(_has_value(lines, number, name) for number in range(line - 1, line + 1))
        if name in written or usual:
            what = (
                f"the value of {name} stands in the script, for everyone who may read it or a copy "
                "of it"
            )
            hint = (
                f"make that value invalid; export {name} in the shell that you submit from. The "
                "spec has its name"
            )
            yield line, "secret", what, hint


def _has_value(lines: list[str], number: int, name: str) -> bool:
    from clusterrun.starter.from_sbatch.secrets import names_of_secrets  # noqa: PLC0415

    return 0 <= number < len(lines) and name in names_of_secrets(lines[number])


def _find_pipe(facts: Facts, _asked: ResourceRequest, selected: SelectedCommand) -> Found:
    if selected.started.piped and "pipefail" not in facts.text:
        what = (
            "without `set -o pipefail` the exit code of a pipe is its last command's: a crash "
            "looks like success"
        )
        yield (
            selected.started.line,
            "pipe",
            what,
            "`clusterrun logs` keeps the output; the pipe is left out",
        )


def _find_devices(facts: Facts, requested: ResourceRequest, _chosen: SelectedCommand) -> Found:
    variable = facts.variables.get("CUDA_VISIBLE_DEVICES")
    if variable is not None and requested.gpus_a_node:
        what = (
            "Slurm sets CUDA_VISIBLE_DEVICES to the GPUs that the job has; this can name others, "
            "or fewer"
        )
        yield variable.line, "devices", what, "it is in the spec as it was; leave it out"


RULES: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Found], ...] = (
    _find_trap,
    _find_background,
    _find_strict,
    _find_module_order,
    _find_secrets,
    _find_pipe,
    _find_devices,
)
