"""The origin of each value of a run: a default, the profile, the spec, `--set`, or the shell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from clusterrun.job_spec.keys import spell_path
from clusterrun.job_spec.yaml_text import KeyPath
from clusterrun.planning.preparation import Prepared


@dataclass(frozen=True)
class Origin:
    """One value of the resolved spec."""

    key: str
    """The key as the documentation spells it, with dots between levels."""
    value: Any
    """The resolved value."""
    layer: str
    """default, shell, profile, spec, --set, or --param."""
    where: str
    """`file:line`; for `--set` and `--param` the key; empty for a default and for the shell."""


def explain(prepared: Prepared) -> list[Origin]:
    """Return every value that the job script is rendered from, in the order of the reference."""
    names = {
        "profile": str(prepared.profile) if prepared.profile else "",
        "spec": prepared.loaded.source,
    }
    values = prepared.loaded.spec.model_dump()
    origins = [_find_origin(prepared, path, value, names) for path, value in _leaves(values, ())]
    root = _find_origin(prepared, ("run_root",), str(prepared.run_root), names)
    return [*(one for one in origins if _is_worth_showing(one)), root]


def _is_worth_showing(origin: Origin) -> bool:
    """Return whether to show a value: not the empty defaults."""
    return origin.layer != "default" or origin.value not in (None, (), {}, [])


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, [*value] if isinstance(value, tuple) else value


def _find_origin(prepared: Prepared, path: KeyPath, value: Any, names: dict[str, str]) -> Origin:
    where = prepared.loaded.layers.where.get(path, "")
    file = where.rpartition(":")[0]
    option, _, key = where.partition(" ")
    if option in ("--set", "--param"):
        return Origin(spell_path(path), value, option, key)
    if where == "the shell":
        return Origin(spell_path(path), value, "shell", "")
    layer = next((layer for layer, name in names.items() if name and file == name), "default")
    return Origin(spell_path(path), value, layer, where if layer != "default" else "")
