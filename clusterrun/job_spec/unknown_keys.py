"""Messages for unknown keys, with the key that was probably meant."""

from __future__ import annotations

import difflib

from clusterrun.errors import Problem
from clusterrun.job_spec import options
from clusterrun.job_spec.keys import PROFILE_KEYS, SECTIONS, SPEC_KEYS, known_keys, spell_key
from clusterrun.job_spec.yaml_text import KeyPath, dotted

_MOST_LISTED = 24
_ALMOST_EQUAL = 0.85

# What people write in place of a key, from other tools and older habits.
_MEANT = {
    "arguments": "args",
    "conda_env": "environment.conda",
    "cores": "slurm.cpus-per-task",
    "cpus": "slurm.cpus-per-task",
    "cpus_per_node": "slurm.cpus-per-task",
    "cwd": "slurm.chdir",
    "env": "environment.variables",
    "env_vars": "environment.variables",
    "gpu": "slurm.gpus-per-node",
    "interval": "checkpoint.every",
    "job_name": "name",
    "max_retries": "requeue.crashes",
    "memory": "slurm.mem",
    "param": "parameters",
    "params": "parameters",
    "num_gpus": "slurm.gpus-per-node",
    "num_nodes": "slurm.nodes",
    "precision": "accelerate.mixed_precision",
    "python": "environment.venv",
    "queue": "slurm.partition",
    "retries": "requeue.crashes",
    "save_every": "checkpoint.every",
    "time_limit": "slurm.time",
    "timeout": "slurm.time",
    "virtualenv": "environment.venv",
    "walltime": "slurm.time",
    "workdir": "slurm.chdir",
    "working_dir": "slurm.chdir",
}
# Options of the pyxis plugin for containers (https://github.com/NVIDIA/pyxis).
_PYXIS = {f"container_{name}" for name in "image mounts workdir name save mount_home env".split()}


def explain_unknown_key(line: str, path: KeyPath, key: str, kind: str) -> Problem:
    """Return the message for an unknown key at `line`; `kind`: "a job spec" or "a profile"."""
    section = str(path[0]) if path else ""
    first_level = PROFILE_KEYS if kind == "a profile" else SPEC_KEYS
    known = known_keys(section) if section else first_level
    name = key.replace("-", "_")
    what = "unknown key"
    if not section and name in SPEC_KEYS | PROFILE_KEYS:
        what = f"not allowed in {kind}"
    return Problem(line, dotted((*path, key)), what, _propose(section, name, known, kind))


def _propose(section: str, name: str, known: frozenset[str], kind: str) -> str:
    if not section and name in PROFILE_KEYS:
        return f"set {name} in the site's profile"
    if section == "slurm" and name in _PYXIS:
        return "pass options of Slurm plugins through slurm.additional_parameters"
    meant = (
        _find_alias(section, name)
        or _find_near(section, name, known, _ALMOST_EQUAL)
        or _find_elsewhere(section, name)
        or _find_near(section, name, known)
    )
    if meant:
        return f"did you mean {meant}?"
    if section == "slurm":
        return "pass newer options of sbatch through slurm.additional_parameters"
    names = [spell_key(section, one) for one in sorted(known)]
    if len(names) > _MOST_LISTED:
        return ""
    return f"known keys{f' of {section or kind}'}: {', '.join(names)}"


def _find_elsewhere(section: str, name: str) -> str:
    """Return the path of a key that belongs to another section; empty if no section has it."""
    if section and name in SPEC_KEYS:
        return f"{name} at the top level"
    place = next((one for one in SECTIONS if name in known_keys(one)), "")
    return f"{place}.{spell_key(place, name)}" if place else ""


def _find_alias(section: str, name: str) -> str:
    """Return the key for another tool's name of it; empty if the name is not known."""
    letter = options.SHORT.get(name) if section == "slurm" else None
    meant = letter or _MEANT.get(name, "")
    return meant.removeprefix(f"{section}.") if section else meant


def _find_near(section: str, name: str, known: frozenset[str], cutoff: float = 0.6) -> str:
    shown_names = [spell_key(section, one) for one in sorted(known)]
    near = difflib.get_close_matches(spell_key(section, name), shown_names, n=1, cutoff=cutoff)
    return near[0] if near else ""
