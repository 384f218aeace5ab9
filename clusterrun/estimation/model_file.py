"""The transformers config of a model: a folder, a JSON file, or an earlier download."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clusterrun.errors import Problem, SpecError
from clusterrun.estimation.architecture import Architecture, architecture_of
from clusterrun.files.reading import read_text


def read_architecture(path: Path) -> Architecture:
    """Read a config.json or a folder with one. Raises SpecError if it is missing or incomplete."""
    file = path / "config.json" if path.is_dir() else path
    return architecture_of(_read_json(file), str(file))


def find_config(name: str, folder: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the config of a model by its transformers name; None if it is not on this machine.

    A path is relative to `folder`. A name on the Hugging Face hub is looked up in the hub's cache,
    whose layout is described at https://huggingface.co/docs/huggingface_hub/guides/manage-cache.
    """
    here = folder / name
    if os.path.isfile(here) or os.path.isfile(here / "config.json"):  # noqa: PTH113 - no error for a long name
        return here
    home = environment.get("HF_HOME") or f"{environment.get('HOME', '/')}/.cache/huggingface"
    cache = Path(environment.get("HF_HUB_CACHE") or f"{home}/hub")
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    configs = snapshots.glob("*/config.json") if os.path.isdir(snapshots) else ()  # noqa: PTH112 - as above
    return max(configs, key=lambda path: path.stat().st_mtime, default=None)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(read_text(file))
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise SpecError(
            [Problem(str(file), "", what, "pass a config.json, or a folder with one")]
        ) from error
    except (ValueError, RecursionError) as error:
        raise SpecError([Problem(str(file), "", f"not JSON: {error}")]) from error
    if not isinstance(values, dict):
        raise SpecError([Problem(str(file), "", "not a transformers config: it must be a mapping")])
    return values
