"""The mistakes in an old script, each with its line; a Problem's `path` is the mistake's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from clusterrun import units
from clusterrun.errors import Problem
from clusterrun.planning.time_limit import USUAL_HOURS
from clusterrun.starter.from_sbatch import (
    launch_mistakes,
    more_mistakes,
    process_count_mistakes,
    shell_mistakes,
)
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest, nearest_option
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand

Mistakes = Iterator[tuple[int, str, str, str]]
"""Line, name, what is wrong, and what to do."""

_ON_NODE = re.compile(r"\$\{?SLURM_(NODEID|PROCID|LOCALID)")
# A command keeps its own words, so the job script corrects less.
_HINTS_OF_COMMAND = {
    "port": "use $MASTER_PORT in the command: a free port, which the job script exports",
    "port-of-node": "use $MASTER_PORT in the command: a free port, which the job script exports",
    "address": "use $MASTER_ADDR in the command: an address of the first node",
    "first-node": "use $MASTER_ADDR in the command: an address of the first node",
    "node-rank": "the command runs on each node: use $SLURM_NODEID in it",
    "num-processes": "correct the number in the command",
    "machines": "use $SLURM_JOB_NUM_NODES in the command",
}
# sbatch(1), "filename pattern": each of these is unique per job.
_JOB_PATTERNS = ("%j", "%J", "%A", "%x-%j")


def _hint_of_command(name: str, hint: str, selected: SelectedCommand) -> str:
    if name == "node-rank" and _ON_NODE.search(selected.command):
        return hint  # it is evaluated where the command runs
    return _HINTS_OF_COMMAND.get(name, hint)


def find_mistakes(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> list[Problem]:
    """Return the mistakes in an old script, in the order of its lines."""
    rules: tuple[Callable[[Facts, ResourceRequest, SelectedCommand], Mistakes], ...] = (
        _find_directives,
        _find_output,
        _find_time,
        _find_no_requeue,
        _find_variables,
        *launch_mistakes.RULES,
        *process_count_mistakes.RULES,
        *shell_mistakes.RULES,
        *more_mistakes.RULES,
    )
    found = sorted({fault for rule in rules for fault in rule(facts, requested, selected)})
    if not selected.launched:
        found = [
            (line, name, what, _hint_of_command(name, hint, selected))
            for line, name, what, hint in found
        ]
    return [
        Problem(f"{facts.name}:{line}" if line else facts.name, name, what, hint)
        for line, name, what, hint in found
    ]


def _find_directives(
    facts: Facts, requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    for option in requested.unknown():
        meant = nearest_option(option.name)
        hint = (
            f"did you mean --{meant}?"
            if meant
            else "if your sbatch has it, add it to slurm.additional_parameters"
        )
        yield (
            option.line,
            "directive",
            f"unknown option --{option.name} (Slurm 22.05 to 26.05)",
            hint,
        )
    for line in facts.directives.too_late:
        yield (
            line,
            "late-directive",
            "sbatch ignores #SBATCH lines after the first command",
            "not in the spec; add it if you need it",
        )
    for line, word in facts.directives.unread:
        yield line, "directive", f"{word!r} is not an option of sbatch", ""


def _find_output(_facts: Facts, requested: ResourceRequest, _selected: SelectedCommand) -> Mistakes:
    for name in ("output", "error"):
        text = requested.text(name)
        if text and text != "/dev/null" and not any(pattern in text for pattern in _JOB_PATTERNS):
            what = f"--{name}={text} has no %j, so each job and restart overwrites the last log"
            yield (
                requested.line(name),
                "output",
                what,
                "fixed: each attempt has its own log (see clusterrun logs)",
            )


def _find_time(_facts: Facts, requested: ResourceRequest, _selected: SelectedCommand) -> Mistakes:
    text = requested.text("time")
    number, colon, rest = text.partition(":")
    if not number.isdigit() or int(number) not in USUAL_HOURS or (colon and rest != "00"):
        return
    try:
        seconds = units.seconds_of_slurm_time(text) or 0
    except ValueError:
        return
    what = f"sbatch reads --time={text} as {seconds // 60} minutes"
    yield requested.line("time"), "time", what, f"if you mean hours, write time: {number}:00:00"


def _find_no_requeue(
    facts: Facts, requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    if not facts.requeues and not {"requeue", "no-requeue"} & set(requested.directives.options):
        what = (
            "nothing requeues it after the time limit or a crash, nor, at many sites, after a "
            "preemption"
        )
        last = max((option.line for option in requested.directives.options.values()), default=1)
        yield last, "requeue", what, "fixed: the run restarts by itself (see the requeue section)"


def _find_variables(
    _facts: Facts, requested: ResourceRequest, _selected: SelectedCommand
) -> Mistakes:
    for name, option in requested.directives.options.items():
        if isinstance(option.value, str) and "$" in option.value:
            yield (
                option.line,
                "directive",
                f"sbatch does not expand the variable in --{name}={option.value}",
                "write the value",
            )
