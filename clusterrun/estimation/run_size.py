"""The size of a spec's run: GPUs, hours, strategy, precision, batch, sequence and model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clusterrun import units
from clusterrun.estimation import states
from clusterrun.estimation.config_strategy import read_strategy
from clusterrun.estimation.counted_classes import COUNTED_CLASSES
from clusterrun.estimation.states import Strategy
from clusterrun.files.reading import read_text
from clusterrun.job_spec import JobSpec, Loaded, gpus, grammar
from clusterrun.job_spec.arguments import arguments_of
from clusterrun.training_script import TrainingScript
from clusterrun.training_script.arguments import BATCH_SIZES, whole_number
from clusterrun.training_script.models import Built, Named, find_model

# The names of these in training scripts, those of transformers first.
_SEQUENCE = (
    "block_size",
    "max_seq_length",
    "max_length",
    "sequence_length",
    "seq_length",
    "max_seq_len",
)
_CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")
_MODEL = ("config_name", "model_name_or_path", "model_name")


@dataclass(frozen=True)
class RunSize:
    """What is known of a run before the estimate; None for unknown values."""

    nodes: int = 1
    gpus_per_node: int = 0
    """0 if the job requests none."""
    processes: int = 1
    hours: float | None = None
    tasks: bool = False
    """Whether it is a job array, whose tasks are separate runs."""
    strategy: Strategy | None = states.DDP
    """None if it is not estimated."""
    precision: str = "bf16"
    batch: int | None = None
    sequence: int | None = None
    checkpointing: bool = False
    eager: bool = False
    model: Named | Built | None = None
    gpu_memory: int | None = None

    @property
    def gpu_hours(self) -> float | None:
        """The hours of all GPUs together, up to the time limit."""
        return None if self.hours is None or not self.gpus_per_node else self.processes * self.hours


def read_run_size(loaded: Loaded, work_dir: Path, script: TrainingScript | None) -> RunSize:
    """Return the size of a spec's run; unreadable files in `work_dir` are ignored."""
    spec = loaded.spec
    arguments = arguments_of(spec)
    all_arguments = script.arguments(arguments) if script is not None else arguments
    config = _read_accelerate_config(spec, work_dir)
    deepspeed = _read_deepspeed_json(config, arguments, work_dir)
    nodes = grammar.most_nodes(spec.slurm.nodes)
    each = gpus.count_per_node(spec.slurm.options, nodes)
    own = spec.nproc_per_node or 0
    seconds = units.seconds_of_slurm_time(spec.slurm.time) if spec.slurm.time is not None else None
    fsdp = config.get("fsdp_config")
    checkpointing = isinstance(fsdp, dict) and fsdp.get("fsdp_activation_checkpointing") is True
    return RunSize(
        nodes=nodes,
        gpus_per_node=each,
        processes=(own or each) * nodes or spec.accelerate.num_processes or nodes,
        hours=None if seconds is None else seconds / 3600,
        tasks=spec.slurm.array is not None,
        strategy=read_strategy(config, deepspeed),
        precision=_read_precision(config, deepspeed, arguments),
        batch=_read_number(arguments, BATCH_SIZES)
        or (script.default_batch_size(arguments) if script is not None else None),
        sequence=_read_number(arguments, _SEQUENCE) or _read_number(all_arguments, _SEQUENCE),
        checkpointing=checkpointing
        or any(_is_true(all_arguments.get(name)) for name in _CHECKPOINTING),
        eager=arguments.get("attn_implementation") == "eager",
        model=_named_model(arguments)
        or (find_model(script, all_arguments, COUNTED_CLASSES) if script is not None else None)
        or _named_model(all_arguments),
        gpu_memory=loaded.gpu_memory,
    )


def _named_model(arguments: Mapping[str, Any]) -> Named | None:
    named = (
        Named(f"args.{key}", arguments[key]) for key in _MODEL if _is_filled(arguments.get(key))
    )
    return next(named, None)


def _read_number(arguments: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    numbers = (whole_number(arguments.get(name)) for name in names)
    return next((number for number in numbers if number), None)


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_true(value: Any) -> bool:
    return value is True or str(value).lower() in ("true", "1", "yes")


def _read_accelerate_config(spec: JobSpec, work_dir: Path) -> dict[str, Any]:
    own = spec.accelerate.model_dump(exclude_none=True)
    if spec.accelerate.config_file is None:
        return own
    return _read_mapping(work_dir, spec.accelerate.config_file) | own


def _read_deepspeed_json(
    config: Mapping[str, Any], arguments: Mapping[str, Any], work_dir: Path
) -> dict[str, Any] | None:
    """Return the JSON that accelerate's config names, or a Trainer's argument `--deepspeed`."""
    section = config.get("deepspeed_config")
    named = section.get("deepspeed_config_file") if isinstance(section, dict) else None
    path = named if named not in (None, "", "none") else arguments.get("deepspeed")
    return _read_mapping(work_dir, path) if isinstance(path, str) and path else None


def _read_mapping(folder: Path, name: str) -> dict[str, Any]:
    """Read a mapping of YAML or JSON; empty if invalid, which `clusterrun validate` reports."""
    try:
        text = read_text((folder / name).expanduser())
        values = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    except (OSError, ValueError, RuntimeError, RecursionError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _read_precision(
    config: Mapping[str, Any], deepspeed: Mapping[str, Any] | None, arguments: Mapping[str, Any]
) -> str:
    """Return the precision: a script's argument overrides accelerate's configuration.

    It does so in `Accelerator(mixed_precision=...)`.
    """
    for name in ("bf16", "fp16"):
        section = (deepspeed or {}).get(name)
        if _is_true(arguments.get(name)) or (
            isinstance(section, dict) and section.get("enabled") is True
        ):
            return name
    return str(arguments.get("mixed_precision") or config.get("mixed_precision") or "no")
