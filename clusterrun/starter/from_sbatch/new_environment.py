"""The `environment` section of a spec, from an old script's exports, modules and activation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clusterrun.job_spec.secret_forms import is_secret_name, names_of_secrets
from clusterrun.job_spec.yaml_text import typed
from clusterrun.starter.from_sbatch.facts import Facts, Kept
from clusterrun.starter.from_sbatch.resource_request import ResourceRequest
from clusterrun.starter.from_sbatch.secrets import without_secrets
from clusterrun.starter.from_sbatch.selected_command import SelectedCommand
from clusterrun.starter.from_sbatch.setup import BUILDS, RENDEZVOUS
from clusterrun.starter.from_sbatch.words import names_in

# Every job has these, independent of the submitting shell.
_EVERYWHERE = frozenset(
    "HOME USER LOGNAME SHELL LANG PATH PWD OLDPWD TMPDIR HOSTNAME TERM SHLVL IFS"
    " LD_LIBRARY_PATH PYTHONPATH".split()
)
_OF_SERVICES = ("HF_TOKEN", "WANDB_API_KEY")
_WORDS = {"true": True, "false": False}  # the spec passes these as words
_NOTHING = ("NONE", "NIL")


def environment_section(
    facts: Facts,
    requested: ResourceRequest,
    selected: SelectedCommand,
    first: list[Kept],
    setup: list[Kept],
    shell: Mapping[str, str],
) -> tuple[dict[str, Any], set[str]]:
    """Return the section, and the names of its variables whose values come from the user's shell.

    Of secrets, which are recorded in the facts, it has only the names.
    """
    for line, _, name in selected.left:
        facts.secrets.setdefault(name, line)
    variables = _exported_variables(facts, selected) | _read_export_option(
        facts, requested, selected
    )
    lines = [*first, *setup]
    defined = {*variables}.union(*(kept.defines for kept in lines))
    inherited = _inherited_variables(
        facts, [selected.command, *(kept.text for kept in lines)], defined, shell
    )
    variables = {**inherited, **variables}
    hidden = _find_hidden(facts, variables)
    secrets = {*facts.secrets, *hidden}
    inherits = requested.text("export").upper() not in _NOTHING
    if inherits:
        secrets |= {name for name in _OF_SERVICES if shell.get(name)}
    shown = {
        name: _WORDS.get(value, typed(value))
        for name, value in variables.items()
        if name not in hidden
    }
    selected_here = facts.venv or facts.conda or _activates(lines)
    python = active_python(shell) if inherits and not selected_here else {}
    found: dict[str, Any] = {
        "setup_first": _texts(first, facts),
        "module_purge": bool(facts.purge),
        "module_use": [name for _, name in facts.module_folders],
        "modules": [name for _, name in facts.modules],
        "venv": facts.venv[1] if facts.venv else None,
        "conda": facts.conda[1] if facts.conda else None,
        "conda_base": facts.conda_base if facts.conda else None,
        **python,
        "variables": shown,
        "setup": _texts(setup, facts),
        "secrets": [*facts.secrets, *sorted(secrets - {*facts.secrets})],
    }
    return {key: value for key, value in found.items() if value}, set(inherited)


def _find_hidden(facts: Facts, variables: Mapping[str, str]) -> set[str]:
    """Return the names of variables whose value is a secret."""
    return {
        name
        for name, value in variables.items()
        if names_of_secrets(value) or value in facts.written_secrets
    }


def _texts(lines: list[Kept], facts: Facts) -> list[str]:
    return [without_secrets(kept.text, facts.written_secrets, flags=True) for kept in lines]


def _activates(setup: list[Kept]) -> bool:
    return any("activate" in kept.text or kept.text.startswith("use_") for kept in setup)


def active_python(shell: Mapping[str, str]) -> dict[str, str]:
    """Return a shell's active environment as keys of a spec; sbatch jobs inherit it."""
    names = {"venv": shell.get("VIRTUAL_ENV"), "conda": shell.get("CONDA_PREFIX")}
    return next(({key: value} for key, value in names.items() if value), {})


def _exported_variables(facts: Facts, selected: SelectedCommand) -> dict[str, str]:
    """Return the script's exports, without those for rendezvous and for building the command."""
    found = {}
    for name, variable in facts.variables.items():
        needless = selected.launched and (name in RENDEZVOUS or BUILDS.fullmatch(name))
        if variable.value.one_line and not needless and name not in facts.secrets:
            found[name] = variable.value.text
    return found


def _read_export_option(
    facts: Facts, requested: ResourceRequest, selected: SelectedCommand
) -> dict[str, str]:
    """Return the variables of `--export`; a name without a value becomes a secret."""
    found = {}
    srun = selected.started.srun
    given = [requested.text("export"), srun.options.get("export", "") if srun else ""]
    for part in ",".join(given).split(","):
        name, equals, value = part.partition("=")
        if equals and is_secret_name(name, value):
            facts.secrets.setdefault(name, requested.line("export"))
            facts.written_secrets.setdefault(value, name)
        elif equals:
            found[name] = value
        elif name.upper() not in ("", "ALL", *_NOTHING):
            facts.secrets.setdefault(name, requested.line("export"))
    return found


def _inherited_variables(
    facts: Facts, texts: list[str], defined: set[str], shell: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that setup lines and command read from the submitting shell."""
    found = {}
    for name in sorted(set().union(*map(names_in, texts))):
        if (
            name in defined
            or name in _EVERYWHERE
            or name.startswith(("SLURM_", "BASH", "CLUSTERRUN_"))
        ):
            continue
        if is_secret_name(name, shell.get(name)):
            facts.secrets.setdefault(name, 0)
        elif name in shell and name not in facts.secrets:
            found[name] = shell[name]
    return found
