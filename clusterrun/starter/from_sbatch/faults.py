"""Faults of a finished draft: names that nothing sets, and words that are no program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from clusterrun.errors import Problem
from clusterrun.starter.from_sbatch.draft import Draft
from clusterrun.starter.from_sbatch.names_read import (
    names_read,
    names_set,
    positional_read,
    sets_anything,
)
from clusterrun.starter.from_sbatch.words import MAY_BE_SET

# The job script exports these to the nodes (templates/functions/40-rendezvous.sh, 50-step.sh).
_OF_JOB_SCRIPT = frozenset(
    "MASTER_ADDR MASTER_PORT main_process_ip main_process_port num_machines num_processes".split()
)
_NO_PROGRAM = re.compile(r"\s*(--?\w|\$\{?(\w+))")


def arguments_hint(name: str) -> str:
    """Return what to do if a script reads its own arguments."""
    return (
        "add what follows the script's name in sbatch: "
        f"clusterrun init --from-sbatch {name} -- ARGUMENT..."
    )


def shell_pieces(draft: Draft) -> Iterator[tuple[int, str]]:
    """Yield the shell texts of a draft, each with its line in the old script; 0 if not known."""
    environment = draft.values.get("environment") or {}
    for key in ("setup_first", "setup"):
        for number, text in enumerate(environment.get(key, ())):
            comment = draft.comments.get(("environment", key, number), "").removeprefix("line ")
            yield int(comment) if comment.isdigit() else 0, text
    if "command" in draft.values:
        yield draft.command_line, draft.values["command"]


def find_faults(draft: Draft, name: str, shell: Mapping[str, str]) -> list[Problem]:
    """Return what makes the shell lines of a draft do something else than those of the script."""
    pieces = list(shell_pieces(draft))
    found = dict.fromkeys([*_find_unset(draft, pieces, shell, name), *_find_no_program(pieces)])
    return [
        Problem(f"{name}:{line}" if line else name, "", what, hint) for line, what, hint in found
    ]


def _find_unset(
    draft: Draft, pieces: list[tuple[int, str]], shell: Mapping[str, str], name: str
) -> Iterator[tuple[int, str, str]]:
    environment = draft.values.get("environment") or {}
    known = {*environment.get("variables", {}), *environment.get("secrets", ()), *_OF_JOB_SCRIPT}
    is_open = bool(environment.get("modules"))
    for line, text in pieces:
        for number in sorted(positional_read(text)):
            hint = arguments_hint(name)
            yield line, f"${number} is an argument of the old script, which is not known here", hint
        is_open = is_open or sets_anything(text)
        known |= names_set(text)
        unset = {one for one in names_read(text) - known if not MAY_BE_SET.fullmatch(one)}
        for one in sorted(unset):
            if not is_open and one not in shell:
                hint = (
                    f"export {one} in the shell where you run this command, or set it in the script"
                )
                yield line, f"${one} is read, but neither the script nor your shell sets it", hint


def _find_no_program(pieces: list[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    for line, text in pieces:
        found = _NO_PROGRAM.match(text)
        if found and not found[2]:
            what = f"the command would start with {text.split()[0]}, which is an option"
            yield line, what, "write the program into the script itself"
