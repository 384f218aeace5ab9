"""The spec of a run as `submit` saved it, for readers that can do without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from clusterrun.files.reading import read_text
from clusterrun.run_folder.paths import RunPaths

TYPE_CHECKING = False  # importing `typing` costs a start 6 ms
if TYPE_CHECKING:
    from typing import Any


def read_saved_spec(folder: Path) -> Mapping[str, Any]:
    """Return the spec in a run folder; empty if it is missing or corrupt."""
    import yaml  # noqa: PLC0415 - 10 ms of a start, which few commands need

    try:
        values = yaml.safe_load(read_text(RunPaths(folder).spec))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def flatten_spec(spec: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return the values of a spec as text, by their keys with dots between levels."""
    flat: dict[str, str] = {}
    for key, value in spec.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value:
            flat |= flatten_spec(value, f"{path}.")
        elif isinstance(value, list):
            flat[path] = ", ".join(map(str, value))
        else:
            flat[path] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def section_of(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a saved spec; empty if it is missing or not a mapping."""
    section = spec.get(name)
    return section if isinstance(section, dict) else {}
