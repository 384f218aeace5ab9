"""The lowest layer of a spec: the Python of the user's shell, and its conda."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from clusterrun.job_spec.keys import SPEC_KEYS
from clusterrun.job_spec.layers import Layers
from clusterrun.job_spec.yaml_text import Document, KeyPath

# Matches setup lines that activate an environment, load a module, source a file, or change PATH.
_MAY_SELECT_PYTHON = re.compile(
    r"activate|conda|mamba|module|\bml\b|source|(?<![\w/.])\.\s|\bPATH\b|spack|eval|py(?:env|thon)"
)


def add_shell(layers: Layers, shell: Mapping[str, Any]) -> None:
    """Use the Python of the user's shell, if nothing else selects one, and the shell's conda."""
    environment = layers.values.get("environment") or {}
    if not isinstance(environment, dict):
        return
    own = {} if _selects_python(environment) else {**shell}
    base = own.pop("conda_base", shell.get("conda_base"))
    has_conda = environment.get("conda") or own.get("conda")
    if base and has_conda and not environment.get("conda_base"):
        own["conda_base"] = base
    if own:
        where: dict[KeyPath, str] = {(): "the shell"} | {
            ("environment", key): "the shell" for key in own
        }
        layers.add(Document({"environment": own}, where), SPEC_KEYS, "a job spec")


def _selects_python(environment: Mapping[str, Any]) -> bool:
    """Return whether the spec seems to select the Python; `ulimit` in `setup` does not."""
    lines = [environment.get(key) or "" for key in ("setup_first", "setup", "setup_each_node")]
    return any(environment.get(key) for key in ("venv", "conda", "uv", "modules")) or bool(
        _MAY_SELECT_PYTHON.search(str(lines))
    )
