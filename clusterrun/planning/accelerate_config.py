"""The accelerate config file of a run, and the flags that correct a user's own config file.

The facts about accelerate that it depends on are in `launch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from clusterrun.job_spec.model import Accelerate

CONFIG_NAME = "accelerate.yaml"

# One line of a command: words that belong together, such as a flag and its value.
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
    """Return the values of the user's accelerate YAML as accelerate reads it."""
    values = yaml.safe_load(text) if text else None
    return values if isinstance(values, dict) else {}


def total_processes(user_config: Mapping[str, Any], nodes: int) -> int:
    """Return the total number of processes that a config file implies for this many nodes."""
    total, machines = user_config.get("num_processes"), user_config.get("num_machines") or 1
    if not isinstance(total, int) or not isinstance(machines, int) or total < 1:
        return nodes
    return max(total // machines, 1) * nodes


def make_config(accelerate: Accelerate, *, use_cpu: bool, embedded: bool) -> str:
    """Return accelerate's config file; values that depend on the node are flags instead."""
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
        config["deepspeed_config"] = _deepspeed_section(accelerate, embedded=embedded)
        if not precision:
            config.pop("mixed_precision", None)
    return yaml.safe_dump(_drop_source_texts(config), sort_keys=False)


def deepspeed_json_path(section: object) -> str | None:
    """Return the path of the DeepSpeed JSON that a `deepspeed_config` names; None without one."""
    path = section.get("deepspeed_config_file") if isinstance(section, dict) else None
    return None if path in (None, "", "none") else str(path)


def _distributed_type(accelerate: Accelerate) -> str:
    """Return the distributed type: MULTI_GPU also for one process and for CPUs.

    torchrun starts the processes, with gloo if ACCELERATE_USE_CPU is set.
    """
    by_section = {
        "DEEPSPEED": accelerate.deepspeed_config,
        "FSDP": accelerate.fsdp_config,
        "MEGATRON_LM": accelerate.megatron_lm_config,
    }
    types = [name for name, section in by_section.items() if section is not None]
    return accelerate.distributed_type or (types[0] if types else "MULTI_GPU")


def _deepspeed_section(accelerate: Accelerate, *, embedded: bool) -> dict[str, Any]:
    """Return DeepSpeed's section.

    `embedded`: the job script contains the JSON and writes it on the node.
    """
    section = {"deepspeed_multinode_launcher": "standard", **(accelerate.deepspeed_config or {})}
    steps = accelerate.gradient_accumulation_steps
    if steps is not None and "deepspeed_config_file" not in section:
        section.setdefault("gradient_accumulation_steps", steps)
    if embedded:
        section.pop("deepspeed_config_file", None)
    return section


def _drop_source_texts(value: Any) -> Any:
    """Return plain numbers: YAML would write one with its source text as a Python object."""
    if isinstance(value, dict):
        return {str(key): _drop_source_texts(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_drop_source_texts(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, int) else float(value)


def correct_config(user_config: Mapping[str, Any], processes: int | None) -> list[Words]:
    """Return the flags that replace values of a config file that do not fit Slurm's nodes."""
    lines: list[Words] = []
    if user_config.get("distributed_type") == "MULTI_CPU" and processes != 1:
        lines.append(
            ("--multi_gpu",)
        )  # the type means mpirun; with this flag, torchrun and gloo train on CPUs
    if user_config.get("rdzv_backend", "static") != "static":
        lines.append(("--rdzv_backend", "static"))
    if user_config.get("gpu_ids", "all") not in ("all", None):
        lines.append(("--gpu_ids", "all"))
    if user_config.get("distributed_type") == "DEEPSPEED" and not _has_launcher(user_config):
        lines.append(("--deepspeed_multinode_launcher", "standard"))
    return lines


def _has_launcher(user_config: Mapping[str, Any]) -> bool:
    section = user_config.get("deepspeed_config")
    return isinstance(section, dict) and "deepspeed_multinode_launcher" in section


def overridden_keys(config_text: str) -> list[str]:
    """Return the keys of a config file that the job script overrides."""
    user_config = read_config(config_text)
    names = [
        "num_machines",
        "num_processes",
        "machine_rank",
        "main_process_ip",
        "main_process_port",
    ]
    corrected = {words[0].removeprefix("--") for words in correct_config(user_config, None)}
    names += ["distributed_type"] if "multi_gpu" in corrected else []
    return [name for name in [*names, *sorted(corrected)] if name in user_config]
