"""Placeholders such as {run_dir}, for values that only the running job knows.

They are replaced in arguments and environment variables. Other braces are left alone, because
arguments often contain JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from clusterrun.job_spec.layers import Layers
from clusterrun.job_spec.yaml_text import KeyPath
from clusterrun.quoting import Shell, quote

SHELL = {
    "run_dir": "$run_dir",
    "run_id": "$run_id",
    "attempt": "$attempt",
    "job_id": "$SLURM_JOB_ID",
    "array_task": "$SLURM_ARRAY_TASK_ID",
    "checkpoint": "$checkpoint",
}
"""What the job script replaces each placeholder with."""

_VARIABLES = {
    "CLUSTERRUN_RUN_DIR": "run_dir",
    "CLUSTERRUN_RUN_ID": "run_id",
    "CLUSTERRUN_ATTEMPT": "attempt",
    "CLUSTERRUN_CHECKPOINT": "checkpoint",
    "SLURM_JOB_ID": "job_id",
    "SLURM_JOBID": "job_id",
    "SLURM_ARRAY_JOB_ID": "job_id",
    "SLURM_ARRAY_TASK_ID": "array_task",
}
_KNOWN = "|".join(SHELL)
_PLACEHOLDER = re.compile(rf"\{{\{{(?P<escaped>{_KNOWN})\}}\}}|(?<!\$)\{{(?P<name>{_KNOWN})\}}")


def fill(text: str) -> str:
    """Return a value as a shell word in which the job replaces the placeholders.

    `{{run_dir}}` is the text `{run_dir}`, and `${run_dir}` is not a placeholder. Anything
    without a placeholder is returned unchanged. Raises ValueError for control characters.
    """
    if isinstance(text, Shell) or not _PLACEHOLDER.search(text):
        return text
    words, plain, position = [], "", 0
    for match in _PLACEHOLDER.finditer(text):
        plain += text[position : match.start()]
        position = match.end()
        if match["escaped"]:
            plain += f"{{{match['escaped']}}}"
            continue
        words += [quote(plain)] if plain else []
        words.append(f'"{SHELL[match["name"]]}"')
        plain = ""
    plain += text[position:]
    words += [quote(plain)] if plain else []
    return Shell("".join(words))


def names_in(value: Any) -> set[str]:
    """Return the placeholders in a value, or in the items of a list."""
    if isinstance(value, (list, tuple)):
        return set().union(*map(names_in, value))
    if not isinstance(value, str):
        return set()
    return {match["name"] for match in _PLACEHOLDER.finditer(value) if match["name"]}


def unquoted_placeholder(value: Any) -> str:
    """Return the placeholder that YAML reads as a mapping because it has no quotes; or nothing."""
    is_one = isinstance(value, dict) and len(value) == 1 and set(value) <= set(SHELL)
    return f"{{{next(iter(value))}}}" if is_one and None in value.values() else ""


def check_placeholders(layers: Layers) -> None:
    """Record placeholders that have no value where they are used."""
    for path, value in list_texts(layers.values):
        for name in sorted(names_in(value)):
            what, hint = _fault(name, path, layers.values)
            if what:
                layers.add_problem(path, what, hint)


def placeholder_of(variable: str) -> str:
    """Return the placeholder with the value of an environment variable of the job; or nothing."""
    return f"{{{_VARIABLES[variable]}}}" if variable in _VARIABLES else ""


def _fault(name: str, path: KeyPath, values: dict[str, Any]) -> tuple[str, str]:
    """Return what is wrong with a placeholder, and what to do; empty if nothing is."""
    if name == "array_task" and _section(values, "slurm").get("array") is None:
        return "{array_task} has no value without slurm.array", "add slurm.array, or write {job_id}"
    if name == "checkpoint" and path[0] == "environment":
        return (
            "{checkpoint} is found after the environment is set up",
            "read CLUSTERRUN_CHECKPOINT in the script",
        )
    if name == "checkpoint" and _section(values, "checkpoint").get("path") is None:
        return (
            "{checkpoint} requires checkpoint.path, the place of the checkpoints",
            "add checkpoint.path; a script with clusterrun.training needs neither",
        )
    return "", ""


def list_texts(values: dict[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Yield every text of the arguments and variables with its place."""
    environment = values.get("environment")
    variables = environment.get("variables") if isinstance(environment, dict) else None
    for path, part in ((("args",), values.get("args")), (("environment", "variables"), variables)):
        if not isinstance(part, (dict, list, tuple)):
            continue
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            for text in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(text, str):
                    yield (*path, key), text


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}
