"""The sections of the job script's functions, and which of them a run needs.

Each section is a file in `templates/functions`, plain bash whose first line says what it does. If a
run does not need it, the file of the same name in `templates/functions/without` defines the
functions that other sections call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clusterrun.planning.launch import USE_CPU
from clusterrun.planning.plan import LaunchPlan
from clusterrun.quoting import Shell

VERSION = 2
"""The version of the functions; `tests/golden/functions.txt` records the digest of each version."""
WITHOUT = "without"
_TITLE = "# ---- "


class Contents(NamedTuple):
    """The functions of one script, in the form that its template expects."""

    titles: tuple[tuple[str, str], ...]
    """The name of each section in the script, and what it does."""
    absent: tuple[str, ...]
    """The names of the sections that the run does not need."""
    text: Shell


def _always(_: LaunchPlan) -> bool:
    return True


def _modules(plan: LaunchPlan) -> bool:
    own = plan.spec.environment
    # a user's template may call it
    return bool(own.modules or own.module_use or own.module_purge or plan.templates)


def _launcher(plan: LaunchPlan) -> bool:
    return plan.spec.command is None or bool(plan.templates)


def _conda(plan: LaunchPlan) -> bool:
    return plan.spec.environment.conda is not None or bool(plan.templates)


def _own_checkpoints(plan: LaunchPlan) -> bool:
    return plan.checkpoint_path is not None


def _several_tasks(plan: LaunchPlan) -> bool:
    return plan.nodes > 1 or (plan.spec.launch_kind == "srun" and plan.processes_a_node != 1)


def _node_check(plan: LaunchPlan) -> bool:
    return plan.spec.node_check is not False


def _torch_check(plan: LaunchPlan) -> bool:
    on_cpus = USE_CPU in plan.launch.variables or plan.spec.command is not None
    return _node_check(plan) and not on_cpus


def _stop_signal(plan: LaunchPlan) -> bool:
    return bool(plan.spec.checkpoint.signal)


def _hang(plan: LaunchPlan) -> bool:
    return plan.hang != "off"


def _notices(plan: LaunchPlan) -> bool:
    return bool(plan.notices)


def _shrinks(plan: LaunchPlan) -> bool:
    return plan.shrink_to is not None


SECTIONS: dict[str, Callable[[LaunchPlan], bool]] = {
    "10-records": _always,
    "12-shell": _always,
    "15-signals": _always,
    "20-begin": _always,
    "22-continuation": _always,
    "24-claim": _always,
    "30-environment": _always,
    "31-modules": _modules,
    "32-conda": _conda,
    "33-user-shell": _always,
    "34-launcher": _launcher,
    "35-checkpoint": _own_checkpoints,
    "40-rendezvous": _always,
    "42-several-nodes": _several_tasks,
    "45-node-check": _node_check,
    "46-torch-check": _torch_check,
    "50-step": _always,
    "60-node": _always,
    "61-processes": _always,
    "62-stop-signal": _stop_signal,
    "65-hang": _hang,
    "70-end": _always,
    "72-cause": _always,
    "75-notify": _notices,
    "80-decision": _always,
    "85-bad-nodes": _always,
    "90-requeue": _always,
    "92-wait": _always,
    "95-successor": _always,
    "97-smaller": _shrinks,
}
"""Each file of `templates/functions` in the order of the script, and whether a run needs it."""


def contents(plan: LaunchPlan, folder: Path) -> Contents:
    """Read the sections that a run needs from the folder of the functions."""
    needed = [name for name, needs in SECTIONS.items() if needs(plan)]
    absent = [name for name in SECTIONS if name not in needed]
    texts = [_read(folder / f"{name}.sh") for name in needed]
    stubs = [_read(file) for name in absent if (file := folder / WITHOUT / f"{name}.sh").is_file()]
    if stubs:
        stubs.insert(
            0, f"{_TITLE}absent: stubs for functions of the sections that this run does not need\n"
        )
    titles = tuple(_title(text) for text in texts)
    header = f"{_TITLE}clusterrun's functions, version {VERSION} ({digest(folder)[:12]}) ".ljust(
        100, "-"
    )
    text = Shell("\n".join([header + "\n", *texts, *stubs]))
    return Contents(titles, tuple(name.partition("-")[2] for name in absent), text)


def digest(folder: Path) -> str:
    """Return the SHA-256 of all functions, including those that a script may omit."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("**/*.sh")):
        total.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _title(text: str) -> tuple[str, str]:
    name, _, what = text.partition("\n")[0].removeprefix(_TITLE).partition(": ")
    return name, what
