"""Lines for which a spec has no key: those that are still needed become `environment.setup`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from clusterrun.starter.from_sbatch.facts import Facts, Kept
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand
from clusterrun.starter.from_sbatch.words import names_in

# Rendezvous and ranks, which the job script or accelerate sets.
RENDEZVOUS = frozenset(
    """
    MASTER_ADDR MASTER_PORT MAIN_PROCESS_IP MAIN_PROCESS_PORT WORLD_SIZE RANK LOCAL_RANK NODE_RANK
    LOCAL_WORLD_SIZE MACHINE_RANK NNODES NUM_NODES NPROC_PER_NODE GPUS_PER_NODE NUM_PROCESSES
    NUM_MACHINES
    SLURM_CPU_BIND SRUN_CPUS_PER_TASK RDZV_HOST RDZV_PORT head_node_ip HEAD_NODE_IP HEAD_NODE
    """.split()
)
# Variables that only build the training command.
BUILDS = re.compile(
    r"([A-Za-z_]+_)?(CMD|COMMAND|LAUNCHER|SCRIPT|PROGRAM|ARGS|OPTS|OPTIONS|ARGUMENTS)"
)
_NODE = re.compile(r"scontrol show host|SLURM_(JOB_)?NODELIST|hostname\b")


def setup_lines(facts: Facts, selected: SelectedCommand) -> list[Kept]:
    """Return the lines before the training that are still needed, in order."""
    lines = _lines_before(facts, selected)
    needed = names_in(selected.command)
    needed_lines: list[Kept] = []
    for kept in sorted(lines, key=lambda one: one.line)[::-1]:
        if kept.soft and any(value in kept.text for value in facts.written_secrets):
            continue  # it comes from the submitting shell
        is_rendezvous = selected.launched and (kept.defines & RENDEZVOUS or _only_finds_nodes(kept))
        if is_rendezvous or (kept.soft and not kept.defines & needed):
            continue
        needed |= kept.reads
        exported = kept.defines & names_in(selected.command)
        text = kept.text
        if _is_array(kept) and exported:
            continue  # an array cannot be exported: it is part of the command
        if exported and kept.soft and not text.startswith("export "):
            text = (
                f"export {text}"
                if len(kept.defines) == 1
                else f"{text}; export {' '.join(sorted(exported))}"
            )
        elif exported and not kept.soft and "export" not in text:
            text = f"{text}\nexport {' '.join(sorted(exported))}"
        needed_lines.append(replace(kept, text=text))
    return needed_lines[::-1]


def split_setup(lines: list[Kept]) -> tuple[list[Kept], list[Kept]]:
    """Return the lines that come before modules and activations, and those after them."""
    places = [number for number, kept in enumerate(lines, 1) if kept.first]
    count = places[-1] if places else 0
    return lines[:count], lines[count:]


def _is_array(kept: Kept) -> bool:
    return kept.soft and bool(re.match(r"\w+\+?=\(", kept.text))


def with_arrays(facts: Facts, selected: SelectedCommand) -> str:
    """Return the command after the arrays that it reads."""
    needed = names_in(selected.command)
    arrays = [
        kept.text
        for kept in facts.kept[: selected.started.after]
        if _is_array(kept) and kept.defines & needed
    ]
    return "\n".join([*arrays, selected.command])


def _only_finds_nodes(kept: Kept) -> bool:
    """Return whether a line only finds nodes, as `mapfile` of `scontrol show hostnames` does."""
    into_file = re.search(r">\s*[\w\"'$./]", kept.text)
    return (
        bool(_NODE.search(kept.text))
        and not into_file
        and kept.text.split()[0] in ("mapfile", "readarray", "read", "scontrol", "srun")
    )


def _lines_before(facts: Facts, selected: SelectedCommand) -> Iterable[Kept]:
    """Yield the kept lines before the training, with exports and other commands."""
    yield from facts.kept[: selected.started.after]
    for name, variable in facts.variables.items():
        needless = variable.on_nodes or (selected.launched and BUILDS.fullmatch(name))
        if not variable.value.one_line and not needless and variable.line <= selected.started.line:
            yield Kept(variable.line, f"export {name}={variable.value.shell}", frozenset({name}))
    for one in facts.started:
        if one is not selected.started and one.line < selected.started.line:
            yield Kept(one.line, one.text)


def lines_after(facts: Facts, selected: SelectedCommand) -> list[int]:
    """Return the numbers of the lines after the training, which a spec has no place for."""
    later = [kept.line for kept in facts.kept[selected.started.after :] if not kept.soft]
    later += [
        one.line
        for one in facts.started
        if one.line > selected.started.line and one is not selected.started
    ]
    return sorted(line for line in set(later) if line != selected.started.line)
