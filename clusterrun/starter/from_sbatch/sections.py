"""A launcher's flags as the `accelerate` section of a spec."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from clusterrun.job_spec.keys import COMPUTED
from clusterrun.job_spec.model import Accelerate
from clusterrun.job_spec.yaml_text import read_scalar
from clusterrun.starter.from_sbatch.facts import Facts
from clusterrun.starter.from_sbatch.flags import Parsed

# Flags for rendezvous and process counts, which the job script sets.
RENDEZVOUS_FLAGS = frozenset(
    """
    machine_rank main_process_ip main_process_port num_machines num_processes rdzv_backend rdzv_conf
    rdzv_id rdzv_endpoint same_network gpu_ids multi_gpu multi_node nnodes node_rank nproc_per_node
    master_addr master_port local_addr standalone deepspeed_hostfile hostfile
    deepspeed_multinode_launcher num_nodes num_gpus include exclude force_multi launcher module
    no_python use_env cpu quiet role use_fsdp use_deepspeed use_megatron_lm
    gradient_accumulation_steps config_file no_ssh no_ssh_check ssh_port dynamo_backend start_method
    """.split()
)
_MENTIONS = 2  # where it is written, and where it is launched with
_PLAIN = frozenset(
    {
        "mixed_precision",
        "num_cpu_threads_per_process",
        "enable_cpu_affinity",
        "debug",
        "main_training_function",
        "downcast_bf16",
        "tee",
    }
)
_BESIDE_CONFIG_FILE = frozenset({"num_cpu_threads_per_process", "tee"})
_DEEPSPEED = frozenset(
    """
    zero_stage offload_optimizer_device offload_param_device offload_optimizer_nvme_path
    offload_param_nvme_path gradient_clipping zero3_init_flag zero3_save_16bit_model
    deepspeed_config_file deepspeed_moe_layer_cls_names
    """.split()
)


def accelerate_section(
    parsed: Parsed, config: dict[str, Any] | None, *, written: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Return the section, and the flags without a key in it.

    `config` has the values of the config file that the command names; None if it cannot be read.
    With `written`, the script itself writes that file, and the section replaces it.
    Flags override these values in the section, because a spec uses a named config file unchanged.
    """
    words, left = _translate_flags(parsed)
    path = parsed.value("config_file")
    if path is None:
        return words, left
    if config is None or not (written or {*words} - _BESIDE_CONFIG_FILE):
        kept = {key: value for key, value in words.items() if key in _BESIDE_CONFIG_FILE}
        others = {key: value for key, value in words.items() if key not in kept}
        return {"config_file": path, **kept}, [*left, *sorted(_flag_names(others))]
    known = {
        key: value
        for key, value in config.items()
        if key in Accelerate.model_fields and key not in COMPUTED
    }
    known.pop("num_processes", None)
    merged = {**known, **words}
    for key, value in words.items():
        if isinstance(value, dict) and isinstance(known.get(key), dict):
            merged[key] = {**known[key], **value}
    return merged, left


def _translate_flags(parsed: Parsed) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {
        "deepspeed": {},
        "fsdp": {},
        "megatron_lm": {},
        "dynamo": {},
    }
    left: list[str] = []
    for name, word in parsed.flags.items():
        value = True if word is None else read_scalar(word.text) if word.known else None
        group = _find_group(name)
        if name in RENDEZVOUS_FLAGS and name != "dynamo_backend":
            continue
        if value is None or not (group or name in _PLAIN):
            left.append(name)
        elif group:
            groups[group][name] = value
        else:
            found[name] = (
                word.text if word is not None and name not in _BESIDE_CONFIG_FILE else value
            )
    found |= {"use_cpu": True} if "cpu" in parsed.flags else {}
    for group, values in groups.items():
        requested = f"use_{group}" in parsed.flags or (group == "dynamo" and values)
        if requested:
            found[f"{group}_config"] = values
        else:
            left += values
    return found, left


def _find_group(name: str) -> str:
    if name in _DEEPSPEED:
        return "deepspeed"
    return next(
        (group for group in ("fsdp", "megatron_lm", "dynamo") if name.startswith(f"{group}_")), ""
    )


def _flag_names(words: dict[str, Any]) -> set[str]:
    return {
        name
        for key, value in words.items()
        for name in (value if isinstance(value, dict) else [key])
    }


def use_written_file(facts: Facts, path: str | None) -> str | None:
    """Return the text of a config file that the script writes, whose line is no longer needed."""
    found = facts.files.get(path or "")
    if found is None or read_config(found[0]) is None:
        return None
    text, place = found
    if facts.text.count(str(path)) > _MENTIONS:  # something else may read it
        return None
    facts.kept[place] = replace(facts.kept[place], soft=True, defines=frozenset())
    return text


def read_config(text: str) -> dict[str, Any] | None:
    """Return the values of an accelerate config file; None if it is not one."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return values if isinstance(values, dict) else None
