"""The config files that a spec names: their text, values as accelerate reads them, and lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clusterrun.errors import SpecError
from clusterrun.files.reading import read_text
from clusterrun.job_spec.yaml_text import Document, read_yaml
from clusterrun.planning.strategy.config_values import ConfigValues

NO_TYPE = "is not an accelerate config: distributed_type is missing"
IS_JSON = "is a DeepSpeed JSON, not an accelerate config"
BELONGS = "use accelerate.deepspeed_config.deepspeed_config_file for a DeepSpeed JSON"
MISSING_HINT = "relative paths start at slurm.chdir, or at the current folder without it"
_DEEPSPEEDS = {
    "zero_optimization",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "fp16",
    "bf16",
}


@dataclass(frozen=True)
class ConfigFile:
    """A readable config file."""

    text: str
    values: ConfigValues


def read_accelerate(
    path: Path, name: str, add_problem: Callable[[str, str], None]
) -> ConfigFile | None:
    """Read accelerate's YAML as accelerate does (YAML 1.1); it must have a distributed_type.

    `add_problem` receives a message and a hint; `name` is the file's name in messages.
    """
    text = _read_text(path, add_problem)
    if text is None:
        return None
    try:
        values = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark, what = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        at = f"line {mark.line + 1}: {what}" if mark and what else str(error).splitlines()[0]
        add_problem(f"{path} is not valid YAML: {at}", "")
        return None
    if not isinstance(values, dict) or "distributed_type" not in values:
        deepspeeds = isinstance(values, dict) and bool(_DEEPSPEEDS & set(values))
        add_problem(f"{path} {IS_JSON if deepspeeds else NO_TYPE}", BELONGS)
        return None
    return ConfigFile(text, _make_values(values, text, name))


def read_deepspeed(
    path: Path, name: str, add_problem: Callable[[str, str], None]
) -> ConfigFile | None:
    """Read DeepSpeed's JSON."""
    text = _read_text(path, add_problem)
    if text is None:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = (
            f"line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else str(error)
        )
        add_problem(f"{path} is not valid JSON: {at}", "")
        return None
    if not isinstance(values, dict):
        add_problem(f"{path} is not a DeepSpeed config: it must be a mapping", "")
        return None
    return ConfigFile(text, _make_values(values, text, name))


def _read_text(path: Path, add_problem: Callable[[str, str], None]) -> str | None:
    try:
        return read_text(path)
    except FileNotFoundError:
        add_problem(f"file not found: {path}", MISSING_HINT)
    except (OSError, ValueError) as error:
        add_problem(f"{path} cannot be read: {str(error).splitlines()[0]}", "")
    return None


def _make_values(values: Mapping[str, Any], text: str, name: str) -> ConfigValues:
    """Return values with their lines, from our own reader, which reads JSON, too, without tabs."""
    try:
        document = read_yaml(text.replace("\t", " "), name)
    except SpecError as error:  # a tag or a duplicate key, which accelerate accepts
        document = Document(None, {(): error.problems[0].where or name})
    return ConfigValues(values, document.line_of)
