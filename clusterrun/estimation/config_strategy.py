"""The strategy that accelerate's config selects: `deepspeed_config`, `fsdp_config`, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clusterrun.estimation import states
from clusterrun.estimation.states import Strategy

_BY_STAGE = {0: states.ZERO_0, 1: states.ZERO_1, 2: states.ZERO_2, 3: states.ZERO_3}
_OPTIMIZER_OFFLOADED = {
    1: states.ZERO_1_OFFLOADED,
    2: states.ZERO_2_OFFLOADED,
    3: states.ZERO_3_OFFLOADED,
}
_KINDS = {
    "deepspeed_config": "DEEPSPEED",
    "fsdp_config": "FSDP",
    "megatron_lm_config": "MEGATRON_LM",
}
_FSDP = {
    "1": states.FSDP,
    "FULL_SHARD": states.FSDP,
    "TRUE": states.FSDP,
    "2": states.FSDP_GATHERED,
    "SHARD_GRAD_OP": states.FSDP_GATHERED,
    "FALSE": states.FSDP_GATHERED,
    "3": states.DDP,
    "NO_SHARD": states.DDP,
}
DEFAULT_STAGE = 2  # of accelerate's DeepSpeedPlugin


def read_strategy(
    config: Mapping[str, Any], deepspeed: Mapping[str, Any] | None
) -> Strategy | None:
    """Return the strategy of an accelerate config; `deepspeed` is the JSON that it names.

    None if it is not estimated: Megatron-LM, hybrid sharding, and other dimensions of parallelism.
    """
    kind = config.get("distributed_type") or next(
        (_KINDS[key] for key in _KINDS if config.get(key) is not None), ""
    )
    if deepspeed is not None or kind == "DEEPSPEED":
        return _deepspeed_strategy(_section(config, "deepspeed_config"), deepspeed)
    if kind == "FSDP":
        return _fsdp_strategy(_section(config, "fsdp_config"))
    return None if kind == "MEGATRON_LM" or config.get("parallelism_config") else states.DDP


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def _deepspeed_strategy(
    words: Mapping[str, Any], json: Mapping[str, Any] | None
) -> Strategy | None:
    if json is None:
        stage = words.get("zero_stage", DEFAULT_STAGE)
        devices = [words.get(f"offload_{what}_device") for what in ("optimizer", "param")]
    else:
        zero = _section(json, "zero_optimization")
        stage = zero.get("stage", 0)
        devices = [
            _section(zero, f"offload_{what}").get("device") for what in ("optimizer", "param")
        ]
    optimizer, weights = (device in ("cpu", "nvme") for device in devices)
    number = int(stage) if str(stage).isdecimal() else DEFAULT_STAGE
    if weights and number == 3:
        return states.ZERO_3_ALL_OFFLOADED
    return (_OPTIMIZER_OFFLOADED if optimizer else _BY_STAGE).get(number)


def _fsdp_strategy(words: Mapping[str, Any]) -> Strategy | None:
    """Return FSDP's sharding: a name in version 1, a boolean in version 2.

    accelerate accepts both keys for both versions.
    """
    if words.get("fsdp_offload_params") is True:
        return states.FSDP_OFFLOADED
    reshard, sharding = words.get("fsdp_reshard_after_forward"), words.get("fsdp_sharding_strategy")
    return _FSDP.get(
        str(next((value for value in (reshard, sharding) if value is not None), True)).upper()
    )
