"""The config files that a spec names: text, values as accelerate reads them, and their lines."""

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
from clusterrun.planning.strategy.given import Given

NO_TYPE = "is not an accelerate config: it has no distributed_type"
IS_JSON = "is a DeepSpeed JSON, and no accelerate config"
BELONGS = "a DeepSpeed JSON goes under accelerate.deepspeed_config.deepspeed_config_file"
MISSING_HINT = "a relative path begins at slurm.chdir, or where the command is typed"
_DEEPSPEEDS = {
    "zero_optimization",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
    "fp16",
    "bf16",
}


@dataclass(frozen=True)
class ConfigFile:
    """A config file that could be read."""

    text: str
    given: Given


def read_accelerate(path: Path, name: str, fault: Callable[[str, str], None]) -> ConfigFile | None:
    """Read accelerate's YAML as accelerate does, by YAML 1.1; it must have a distributed_type.

    `fault` is told what is wrong, and a hint; `name` is what messages call the file.
    """
    text = _read_text(path, fault)
    if text is None:
        return None
    try:
        values = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark, what = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        at = f"line {mark.line + 1}: {what}" if mark and what else str(error).splitlines()[0]
        fault(f"{path} is not valid YAML: {at}", "")
        return None
    if not isinstance(values, dict) or "distributed_type" not in values:
        deepspeeds = isinstance(values, dict) and bool(_DEEPSPEEDS & set(values))
        fault(f"{path} {IS_JSON if deepspeeds else NO_TYPE}", BELONGS)
        return None
    return ConfigFile(text, _make_given(values, text, name))


def read_deepspeed(path: Path, name: str, fault: Callable[[str, str], None]) -> ConfigFile | None:
    """Read DeepSpeed's JSON."""
    text = _read_text(path, fault)
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
        fault(f"{path} is not valid JSON: {at}", "")
        return None
    if not isinstance(values, dict):
        fault(f"{path} is no DeepSpeed config: it is no mapping", "")
        return None
    return ConfigFile(text, _make_given(values, text, name))


def _read_text(path: Path, fault: Callable[[str, str], None]) -> str | None:
    try:
        return read_text(path)
    except FileNotFoundError:
        fault(f"no such file: {path}", MISSING_HINT)
    except (OSError, ValueError) as error:
        fault(f"{path} cannot be read: {str(error).splitlines()[0]}", "")
    return None


def _make_given(values: Mapping[str, Any], text: str, name: str) -> Given:
    """Add the lines found by our own reader, which reads JSON, too, once its tabs are spaces."""
    try:
        document = read_yaml(text.replace("\t", " "), name)
    except SpecError as error:  # a tag or a key that stands twice: accelerate reads on
        document = Document(None, {(): error.problems[0].where or name})
    return Given(values, document.line_of)
