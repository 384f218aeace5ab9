"""The layers of a spec, lowest first: the shell, the site's profile, the file, each `--set`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.job_spec.keys import SECTIONS, known_keys, spell_path
from clusterrun.job_spec.unknown_keys import explain_unknown_key
from clusterrun.job_spec.values import name_kind
from clusterrun.job_spec.yaml_text import Document, KeyPath, dotted, read_yaml


@dataclass
class Layers:
    """The merged values, the origin of each, and every mistake found while merging."""

    values: dict[str, Any] = field(default_factory=dict)
    where: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    defaults: set[KeyPath] = field(default_factory=set)
    """The keys of sections that only the profile sets."""

    def line_of(self, path: KeyPath) -> str:
        """Return the line of a value, or of its nearest parent if it is missing."""
        return Document(None, self.where).line_of(path)

    def add_problem(self, path: KeyPath, what: str, hint: str = "") -> None:
        """Record a mistake at the line of the value; a second line of `what` is a hint, too."""
        what, _, proposal = what.partition("\n")
        self.problems.append(Problem(self.line_of(path), spell_path(path), what, hint or proposal))

    def add(self, document: Document, keys: Iterable[str], kind: str) -> None:
        """Merge a document over the layers below it; `kind` is its name in messages.

        Raises SpecError if it is not a mapping; every other mistake is recorded.
        """
        where = document.line_of(())
        if document.value is None:
            return
        if not isinstance(document.value, dict):
            raise SpecError(
                [
                    Problem(
                        where,
                        "",
                        f"{kind} must be a mapping of keys, got {name_kind(document.value)}",
                    )
                ]
            )
        values = self._spell_keys(document, document.value, (), frozenset(keys), kind)
        for section in SECTIONS:
            if isinstance(values.get(section), dict):
                known = known_keys(section)
                values[section] = self._spell_keys(
                    document, values[section], (section,), known, kind
                )
            elif section in values and values[section] is not None:
                what = f"must be a mapping, got {name_kind(values[section])}"
                self.problems.append(Problem(document.line_of((section,)), section, what))
                del values[section]
        self.where.setdefault((), where)
        present: set[KeyPath] = {
            (section, key) for section in SECTIONS for key in values.get(section) or ()
        }
        self.defaults = self.defaults | present if kind == "a profile" else self.defaults - present
        self._merge(self.values, values, ())

    def drop_defaults(self, section: str, keys: Iterable[str]) -> None:
        """Drop keys that only the profile sets: the spec overrides the site's defaults."""
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
        """Return the values by canonical keys, and record unknown keys."""
        values: dict[str, Any] = {}
        for key, value in raw.items():
            name = key.replace("-", "_")
            line = document.line_of((*path, key))
            if name not in known:
                self.problems.append(explain_unknown_key(line, path, key, kind))
            elif name in values:
                what = "duplicate key (once with dashes, once with underscores)"
                self.problems.append(
                    Problem(line, dotted((*path, key)), what, "delete one of them")
                )
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
                self.add_problem(
                    (*here, *list(value)[:1]),
                    "args is a list of words in the spec, so a single flag cannot be set",
                    "write args as a mapping, or set the whole list",
                )
            else:
                below[key] = value


def name_option(key: str) -> str:
    """Return the option that sets a key, as messages name it."""
    section, _, name = key.partition(".")
    return f"--param {name}" if section == "parameters" and name else f"--set {key}"


def parse_override(text: str) -> Document:
    """Parse one `--set key=value`; the value is YAML, and `--set key` is its place in messages.

    Raises ValueError if `=` or the key is missing.
    """
    key, equals, value = text.partition("=")
    path = split_key(key.strip())
    if not equals or not all(path):
        raise ValueError(f"{text!r} is not KEY=VALUE\nwrite it as in slurm.nodes=4")
    where = name_option(key.strip())
    try:
        inner = read_yaml(value, where)
    except SpecError as error:
        raise SpecError(replace(problem, where=where) for problem in error.problems) from error
    return assign(path, inner.value, where, inner.where)


def split_key(key: str) -> tuple[str, ...]:
    """Return the path of a key as `--set` takes it; names of arguments may have dots."""
    for name, depth in (("args", 1), ("environment.variables", 2)):
        if key.startswith(f"{name}."):
            parts = key.split(".")
            return (*parts[:depth], ".".join(parts[depth:]))
    return tuple(key.split("."))


def assign(
    path: tuple[str, ...], value: Any, where: str, inner: Iterable[KeyPath] = ()
) -> Document:
    """Return a document that sets one value; `inner` are the paths of the values inside it."""
    document = Document(value, begins=path)
    for depth in range(len(path) + 1):
        document.where[path[:depth]] = where
    for deeper in inner:
        document.where[path + deeper] = where
    for part in reversed(path):
        document.value = {part: document.value}
    return document
