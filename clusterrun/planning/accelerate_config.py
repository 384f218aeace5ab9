"""The accelerate config file of a run: a spec's own, and what a user's file needs on Slurm's nodes.

The facts about accelerate on which it rests are in `launch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from clusterrun.job_spec.model import Accelerate

CONFIG_NAME = "accelerate.yaml"

# A line of a command: words that belong together, such as a flag and its value.
Words = tuple[str, ...]

_SPEC_ONLY = {
    "config_file",
    "num_processes",
    "gradient_accumulation_steps",
    "num_cpu_threads_per_process",
    "tee",
}
_CPU_ONLY_TYPES = {"NO", "MULTI_CPU"}  # accelerate starts one process for these


def read_config(text: str | None) -> dict[str, Any]:
    """Return the values of the user's accelerate YAML, as accelerate itself reads it."""
    values = yaml.safe_load(text) if text else None
    return values if isinstance(values, dict) else {}


def total_processes(given: Mapping[str, Any], nodes: int) -> int:
    """Return the total that a config file means for this many nodes: its processes times nodes."""
    total, machines = given.get("num_processes"), given.get("num_machines") or 1
    if not isinstance(total, int) or not isinstance(machines, int) or total < 1:
        return nodes
    return max(total // machines, 1) * nodes


def make_config(accelerate: Accelerate, *, use_cpu: bool, brought: bool) -> str:
    """Return accelerate's config file; what depends on the node is on the command line instead."""
    words = accelerate.model_dump(exclude_none=True, exclude=_SPEC_ONLY)
    precision = (
        {} if deepspeed_json_path(accelerate.deepspeed_config) else {"mixed_precision": "no"}
    )
    config: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": _distributed_type(accelerate),
        **precision,
        **words,
        "use_cpu": use_cpu,
        "rdzv_backend": "static",
        "same_network": True,
    }
    if config["distributed_type"] in _CPU_ONLY_TYPES:
        config["distributed_type"] = "MULTI_GPU"
    if accelerate.deepspeed_config is not None:
        config["deepspeed_config"] = _deepspeed_section(accelerate, brought=brought)
        if not precision:
            config.pop("mixed_precision", None)
    return yaml.safe_dump(_drop_source_texts(config), sort_keys=False)


def deepspeed_json_path(section: object) -> str | None:
    """Return the path of the DeepSpeed JSON that a `deepspeed_config` names; None without one."""
    path = section.get("deepspeed_config_file") if isinstance(section, dict) else None
    return None if path in (None, "", "none") else str(path)


def _distributed_type(accelerate: Accelerate) -> str:
    """Return the distributed type; MULTI_GPU also for one process and for CPUs.

    torchrun starts them, over gloo if ACCELERATE_USE_CPU is set.
    """
    by_section = {
        "DEEPSPEED": accelerate.deepspeed_config,
        "FSDP": accelerate.fsdp_config,
        "MEGATRON_LM": accelerate.megatron_lm_config,
    }
    found = [name for name, section in by_section.items() if section is not None]
    return accelerate.distributed_type or (found[0] if found else "MULTI_GPU")


def _deepspeed_section(accelerate: Accelerate, *, brought: bool) -> dict[str, Any]:
    """Return DeepSpeed's section.

    `brought`: the script carries the JSON, in a folder that only the node knows.
    """
    section = {"deepspeed_multinode_launcher": "standard", **(accelerate.deepspeed_config or {})}
    steps = accelerate.gradient_accumulation_steps
    if steps is not None and "deepspeed_config_file" not in section:
        section.setdefault("gradient_accumulation_steps", steps)
    if brought:
        section.pop("deepspeed_config_file", None)
    return section


def _drop_source_texts(value: Any) -> Any:
    """Drop what a number remembers of its source, which YAML would write as a Python object."""
    if isinstance(value, dict):
        return {str(key): _drop_source_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_drop_source_texts(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, int) else float(value)


def correct_config(given: Mapping[str, Any], processes: int | None) -> list[Words]:
    """Return the flags that replace a config file's values for machines other than Slurm's."""
    lines: list[Words] = []
    if given.get("distributed_type") == "MULTI_CPU" and processes != 1:
        lines.append(
            ("--multi_gpu",)
        )  # the type means mpirun; so do torchrun and gloo train on CPUs
    if given.get("rdzv_backend", "static") != "static":
        lines.append(("--rdzv_backend", "static"))
    if given.get("gpu_ids", "all") not in ("all", None):
        lines.append(("--gpu_ids", "all"))
    if given.get("distributed_type") == "DEEPSPEED" and not _has_launcher(given):
        lines.append(("--deepspeed_multinode_launcher", "standard"))
    return lines


def _has_launcher(given: Mapping[str, Any]) -> bool:
    section = given.get("deepspeed_config")
    return isinstance(section, dict) and "deepspeed_multinode_launcher" in section


def overridden_keys(config_text: str) -> list[str]:
    """List the keys of a config file that the job script overrides."""
    given = read_config(config_text)
    names = [
        "num_machines",
        "num_processes",
        "machine_rank",
        "main_process_ip",
        "main_process_port",
    ]
    corrected = {words[0].removeprefix("--") for words in correct_config(given, None)}
    names += ["distributed_type"] if "multi_gpu" in corrected else []
    return [name for name in [*names, *sorted(corrected)] if name in given]
