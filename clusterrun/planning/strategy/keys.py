"""Keys that accelerate does not know: refused in a config file, ignored in a section."""

from __future__ import annotations

import difflib

from clusterrun.planning.strategy.accelerate_keys import CONVERTED, SECTIONS, AccelerateKeys
from clusterrun.planning.strategy.given import Given

# Words that were once, or that stand elsewhere, and what is written today.
OLD_KEYS = {
    "ipex_config": "delete it: accelerate uses Intel's extension no longer",
    "use_xpu": "delete it: distributed_type MULTI_XPU says it",
    "tp_config": "today: parallelism_config: {parallelism_config_tp_size: ...}",
    "num_cpu_threads_per_process": (
        "in a spec accelerate.num_cpu_threads_per_process, on a command line the flag"
    ),
    "zero_optimization": (
        "a DeepSpeed JSON goes under deepspeed_config: {deepspeed_config_file: ...}"
    ),
    "gradient_accumulation_steps": (
        "in a spec accelerate.gradient_accumulation_steps, which reaches Accelerator() "
        "under every strategy"
    ),
}
OLD_SECTION_KEYS = {
    "deepspeed_config": {
        "stage": "today: zero_stage",
        "zero_optimization": (
            "today: zero_stage; DeepSpeed's own words go into deepspeed_config_file, a JSON"
        ),
        "offload_optimizer": "today: offload_optimizer_device",
        "offload_param": "today: offload_param_device",
        "mixed_precision": "it stands beside deepspeed_config",
        "zero3_save_fp16_model": "today: zero3_save_16bit_model",
    },
    "fsdp_config": {
        "fsdp_backward_prefetch_policy": "today: fsdp_backward_prefetch",
        "backward_prefetch_policy": "today: fsdp_backward_prefetch",
        "fsdp_optim_state_dict_type": "accelerate derives it from fsdp_state_dict_type",
        "optim_state_dict_type": "accelerate derives it from fsdp_state_dict_type",
        "fsdp_cpu_offload": "today: fsdp_offload_params",
        "cpu_offload": "today: fsdp_offload_params",
        "fsdp_transformer_cls_names_to_wrap": "today: fsdp_transformer_layer_cls_to_wrap",
        "transformer_cls_names_to_wrap": "today: fsdp_transformer_layer_cls_to_wrap",
        "fsdp_mixed_precision_policy": "it follows from mixed_precision",
    },
}
_DEEPSPEEDS_OWN = {
    "fp16",
    "bf16",
    "optimizer",
    "scheduler",
    "train_batch_size",
    "train_micro_batch_size_per_gpu",
}


def check_keys(given: Given, words: AccelerateKeys) -> None:
    """Note every key that accelerate does not know; the spec's own first level is the loader's."""
    if not given.in_spec:
        known = words.config | CONVERTED
        for key in sorted(set(map(str, given.values)) - known):
            hint = OLD_KEYS.get(key) or _suggest_key(key, known)
            given.fault([key], "accelerate knows no such key, and refuses the whole file", hint)
    for name in SECTIONS:
        known = words.of_section(name)
        for key in sorted(set(map(str, given.section(name))) - known):
            given.fault(
                [name, key],
                "accelerate knows no such key, and says nothing",
                _section_hint(name, key, known),
            )


def _section_hint(name: str, key: str, known: frozenset[str]) -> str:
    own = name == "deepspeed_config" and key in _DEEPSPEEDS_OWN
    old = OLD_SECTION_KEYS.get(name, {}).get(key)
    return (
        "DeepSpeed's own words go into deepspeed_config_file, a JSON"
        if own
        else old or _suggest_key(key, known)
    )


def _suggest_key(key: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
