"""`fsdp_config`: invalid values, keys of the other FSDP version, and FSDP without GPUs.

Source: accelerate 1.15, FullyShardedDataParallelPlugin in utils/dataclasses.py,
prepare_multi_gpu_env in utils/launch.py, lists in utils/constants.py.
"""

from __future__ import annotations

import difflib

from clusterrun.planning.strategy.config_values import ConfigValues, truth
from clusterrun.planning.strategy.machines import Machines

SECTION = "fsdp_config"
SHARDING = ("FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
CHOICES = {
    "fsdp_sharding_strategy": (*SHARDING, "1", "2", "3", "4", "5"),
    "fsdp_auto_wrap_policy": ("TRANSFORMER_BASED_WRAP", "SIZE_BASED_WRAP", "NO_WRAP"),
    "fsdp_backward_prefetch": ("BACKWARD_PRE", "BACKWARD_POST", "NO_PREFETCH", "1", "2"),
    "fsdp_state_dict_type": (
        "FULL_STATE_DICT",
        "LOCAL_STATE_DICT",
        "SHARDED_STATE_DICT",
        "1",
        "2",
        "3",
    ),
}
# What replaces a sharding strategy in FSDP2.
INSTEAD = {
    "FULL_SHARD": "fsdp_reshard_after_forward: true",
    "SHARD_GRAD_OP": "fsdp_reshard_after_forward: false",
    "NO_SHARD": "plain DDP, without fsdp_config",
    "HYBRID_SHARD": "parallelism_config with dp_replicate_size and dp_shard_size",
    "HYBRID_SHARD_ZERO2": (
        "fsdp_reshard_after_forward: false, parallelism_config with dp_replicate_size"
    ),
}
_ONLY_FIRST = (
    "fsdp_backward_prefetch",
    "fsdp_forward_prefetch",
    "fsdp_use_orig_params",
    "fsdp_sync_module_states",
)


def check_fsdp(values: ConfigValues, machines: Machines) -> None:
    """Record the mistakes in an `fsdp_config`."""
    if not machines.gpus or truth(values.get("use_cpu")):
        values.add_problem(
            [SECTION],
            "no GPUs requested; on CPUs accelerate silently trains with DDP instead",
            "request GPUs with slurm.gpus-per-node, or delete fsdp_config",
        )
    keys = _full_keys(values)
    version = str(keys.get("fsdp_version", (None, 1))[1])
    if version not in ("1", "2"):
        values.add_problem([SECTION, keys["fsdp_version"][0]], f"must be 1 or 2, got {version!r}")
    for name, choices in CHOICES.items():
        if name in keys:
            _check_choice(values, keys[name], choices)
    _check_combinations(values, keys, version)
    (_check_version_2 if version == "2" else _check_version_1)(values, keys)


def _full_keys(values: ConfigValues) -> dict[str, tuple[str, object]]:
    """Return the section by full keys, with each key as written: `x` means `fsdp_x`."""
    section = values.section(SECTION)
    return {
        (key if key.startswith("fsdp") else f"fsdp_{key}"): (key, value)
        for key, value in section.items()
        if isinstance(key, str)
    }


def _check_choice(values: ConfigValues, word: tuple[str, object], choices: tuple[str, ...]) -> None:
    key, value = word
    if value is None or str(value).upper() in choices:
        return
    named = [choice for choice in choices if not choice.isdigit()]
    near = difflib.get_close_matches(str(value).upper(), named, n=1, cutoff=0.5)
    what = f"must be one of {', '.join(named)}; got {value!r}"
    values.add_problem([SECTION, key], what, f"did you mean {near[0]}?" if near else "")


def _check_combinations(
    values: ConfigValues, keys: dict[str, tuple[str, object]], version: str
) -> None:
    def is_true(name: str, default: object) -> bool:
        return truth(keys.get(name, ("", default))[1])

    sync = keys.get("fsdp_sync_module_states")
    if sync and not truth(sync[1]) and is_true("fsdp_cpu_ram_efficient_loading", "true"):
        values.add_problem(
            [SECTION, sync[0]],
            "accelerate refuses false with fsdp_cpu_ram_efficient_loading: true, the default",
            "write fsdp_cpu_ram_efficient_loading: false, or true here",
        )
    offload = keys.get("fsdp_activation_checkpointing_offload")
    if (
        offload
        and truth(offload[1])
        and not (is_true("fsdp_activation_checkpointing", "false") and version == "2")
    ):
        values.add_problem(
            [SECTION, offload[0]],
            "requires fsdp_version: 2 and fsdp_activation_checkpointing: true",
        )


def _check_version_2(values: ConfigValues, keys: dict[str, tuple[str, object]]) -> None:
    strategy = keys.get("fsdp_sharding_strategy")
    if strategy:
        name = (
            SHARDING[int(str(strategy[1])) - 1]
            if str(strategy[1]) in tuple("12345")
            else str(strategy[1]).upper()
        )
        what = f"FSDP2 ignores it; write {INSTEAD.get(name, INSTEAD['FULL_SHARD'])}"
        if name == "FULL_SHARD":
            values.add_note([SECTION, strategy[0]], what)
        else:
            values.add_problem(
                [SECTION, strategy[0]],
                "FSDP2 ignores it",
                f"use {INSTEAD.get(name, INSTEAD['FULL_SHARD'])}",
            )
    reshard = keys.get("fsdp_reshard_after_forward")
    if reshard and str(reshard[1]).lower() not in ("true", "false", "1", "0"):
        instead = INSTEAD.get(str(reshard[1]).upper())
        values.add_problem(
            [SECTION, reshard[0]],
            f"must be true or false with fsdp_version: 2, got {reshard[1]!r}",
            f"use {instead}" if instead else "",
        )
    for name in _ONLY_FIRST:
        if name in keys and keys[name][1] not in (None, "NO_PREFETCH", False):
            values.add_note([SECTION, keys[name][0]], "FSDP2 ignores it")
    state = keys.get("fsdp_state_dict_type")
    if state and str(state[1]).upper() in ("LOCAL_STATE_DICT", "2"):
        values.add_problem(
            [SECTION, state[0]],
            "accelerate refuses it: FSDP2 has no local state",
            "write SHARDED_STATE_DICT",
        )


def _check_version_1(values: ConfigValues, keys: dict[str, tuple[str, object]]) -> None:
    """Record a key that version 1 ignores.

    `accelerate launch` always passes version 1 a sharding strategy, so it never reads the other
    key.
    """
    reshard = keys.get("fsdp_reshard_after_forward")
    if reshard and str(reshard[1]).upper() not in ("FULL_SHARD", "TRUE", "1"):
        strategy = str(reshard[1]).upper()
        hint = (
            f"write fsdp_sharding_strategy: "
            f"{strategy if strategy in SHARDING else 'SHARD_GRAD_OP'}, or fsdp_version: 2"
        )
        values.add_problem([SECTION, reshard[0]], "FSDP version 1, the default, ignores it", hint)
