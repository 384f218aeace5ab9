"""The layers of a spec, lowest first: the shell, the site's profile, the file, each `--set`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec import model, options
from clusterrun.job_spec.values import name_kind
from clusterrun.job_spec.yaml_text import Document, KeyPath, dotted, read_yaml

SECTIONS: dict[str, type[model.Model]] = {
    "slurm": model.Slurm,
    "accelerate": model.Accelerate,
    "environment": model.Environment,
    "checkpoint": model.Checkpoint,
    "requeue": model.Requeue,
}
SPEC_KEYS = frozenset(model.JobSpec.model_fields)
PROFILE_KEYS = frozenset({*SECTIONS, "run_root", "share", "hang", "gpu_memory", "notify"})

# Words of accelerate that the job script computes on the nodes.
COMPUTED = {
    "num_machines": "it is slurm.nodes",
    "machine_rank": "each node's own number, known only there",
    "main_process_ip": "the first node's address, known only there",
    "main_process_port": "a port that is free on the first node, known only there",
    "rdzv_backend": "static: the machine ranks are known from Slurm",
    "same_network": "true: the head node's address is numeric",
    "gpu_ids": "Slurm gives the GPUs",
}


@dataclass
class Layers:
    """The merged values, where each came from, and every mistake found on the way."""

    values: dict[str, Any] = field(default_factory=dict)
    where: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    defaults: set[KeyPath] = field(default_factory=set)
    """The keys of sections that only the profile gives."""

    def line_of(self, path: KeyPath) -> str:
        """Return the line of a value, or of its nearest parent if it is not there."""
        return Document(None, self.where).line_of(path)

    def fault(self, path: KeyPath, what: str, hint: str = "") -> None:
        """Note a mistake at the line of the value."""
        self.problems.append(Problem(self.line_of(path), spell_path(path), what, hint))

    def add(self, document: Document, keys: Iterable[str], kind: str) -> None:
        """Lay a document over what is there; `kind` is what messages call it.

        Raises SpecError where it is no mapping; every other mistake is noted.
        """
        where = document.line_of(())
        if document.value is None:
            return
        if not isinstance(document.value, dict):
            raise SpecError(
                [
                    Problem(
                        where, "", f"{kind} is a mapping of keys, got {name_kind(document.value)}"
                    )
                ]
            )
        values = self._spell_keys(document, document.value, (), frozenset(keys), kind)
        for section in SECTIONS:
            if isinstance(values.get(section), dict):
                known = _known_keys(section)
                values[section] = self._spell_keys(
                    document, values[section], (section,), known, kind
                )
            elif section in values and values[section] is not None:
                what = f"must be a mapping, got {name_kind(values[section])}"
                self.problems.append(Problem(document.line_of((section,)), section, what))
                del values[section]
        self.where.setdefault((), where)
        given: set[KeyPath] = {
            (section, key) for section in SECTIONS for key in values.get(section) or ()
        }
        self.defaults = self.defaults | given if kind == "a profile" else self.defaults - given
        self._merge(self.values, values, ())

    def drop_defaults(self, section: str, keys: Iterable[str]) -> None:
        """Drop the keys that only the profile sets: a default gives way to what the spec says."""
        for key in [key for key in keys if (section, key) in self.defaults]:
            self.values[section].pop(key, None)

    def _spell_keys(
        self,
        document: Document,
        raw: dict[str, Any],
        path: KeyPath,
        known: frozenset[str],
        kind: str,
    ) -> dict[str, Any]:
        """Give every key its one spelling and note those that are not known."""
        values: dict[str, Any] = {}
        for key, value in raw.items():
            name = key.replace("-", "_")
            line = document.line_of((*path, key))
            if name not in known:
                self.problems.append(_explain_unknown(line, path, key, known, kind))
            elif name in values:
                what = "stands twice, once with dashes and once with underscores"
                self.problems.append(Problem(line, dotted((*path, key)), what, "keep one of them"))
            else:
                values[name] = value
                for deeper, place in document.where.items():
                    if deeper[: len(path) + 1] == (*path, key):
                        moved: KeyPath = (*path, name, *deeper[len(path) + 1 :])
                        if len(moved) >= len(document.begins) or moved not in self.where:
                            self.where[moved] = place
        return values

    def _merge(self, below: dict[str, Any], above: dict[str, Any], path: KeyPath) -> None:
        for key, value in above.items():
            here = (*path, key)
            old = below.get(key)
            if (value is None and not path) or (
                value is None and path and path[0] in SECTIONS and len(path) == 1
            ):
                below.pop(key, None)
            elif isinstance(value, dict) and (
                isinstance(old, dict) or (not path and key in SECTIONS)
            ):
                self._merge(below.setdefault(key, {}), value, here)
            elif isinstance(value, dict) and isinstance(old, list) and key == "args":
                self.fault(
                    (*here, *list(value)[:1]),
                    "args is a list of words here, so one flag cannot be set",
                )
            else:
                below[key] = value


def _known_keys(section: str) -> frozenset[str]:
    fields = frozenset(SECTIONS[section].model_fields)
    if section == "slurm":
        named = options.KNOWN | set(options.OWNED) | set(options.REFUSED)
        return fields | {name.replace("-", "_") for name in named}
    return fields | set(COMPUTED) if section == "accelerate" else fields


def _explain_unknown(
    line: str, path: KeyPath, key: str, known: frozenset[str], kind: str
) -> Problem:
    shown_names = [_spell_key(path, name) for name in sorted(known)]
    near = difflib.get_close_matches(
        _spell_key(path, key.replace("-", "_")), shown_names, n=1, cutoff=0.6
    )
    hint = f"did you mean {near[0]}?" if near else ""
    if not near and path == ("slurm",):
        hint = "an sbatch option newer than this list goes under slurm.additional_parameters"
    elif not near:
        hint = f"known here: {', '.join(shown_names)}" if len(shown_names) <= 20 else ""
    what = f"a profile has no {key}" if kind == "a profile" and not path else "no such field"
    return Problem(line, dotted((*path, key)), what, hint)


def _spell_key(path: KeyPath, name: str) -> str:
    return (
        name.replace("_", "-") if path == ("slurm",) and name != "additional_parameters" else name
    )


def spell_path(path: KeyPath) -> str:
    """Write a canonical path as the documentation spells it: sbatch's dashes below `slurm`."""
    if len(path) > 1 and path[0] == "slurm" and isinstance(path[1], str):
        path = ("slurm", _spell_key(("slurm",), path[1]), *path[2:])
    return dotted(path)


def parse_override(text: str) -> Document:
    """Read one `--set key=value`; the value is YAML, and stands at `--set key` for messages.

    Raises ValueError where there is no `=` or no key.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ValueError(f"{text!r} is not key=value, such as slurm.nodes=4")
    for name, depth in (("args", 1), ("environment.variables", 2)):
        if key.startswith(f"{name}."):
            parts = [*parts[:depth], ".".join(parts[depth:])]
    where = f"--set {key.strip()}"
    try:
        inner = read_yaml(value, where)
    except SpecError as error:
        raise SpecError(replace(problem, where=where) for problem in error.problems) from error
    document = Document(inner.value, begins=tuple(parts))
    for depth in range(len(parts) + 1):
        document.where[tuple(parts[:depth])] = where
    for path in inner.where:
        document.where[tuple(parts) + path] = where
    for part in reversed(parts):
        document.value = {part: document.value}
    return document
