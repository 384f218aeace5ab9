"""Keys that accelerate does not know: refused at the top level, silently ignored in a section."""

from __future__ import annotations

import difflib

from clusterrun.planning.strategy.accelerate_keys import CONVERTED, SECTIONS, AccelerateKeys
from clusterrun.planning.strategy.config_values import ConfigValues

# Keys that were removed or that belong elsewhere, and what to write instead.
OLD_KEYS = {
    "ipex_config": "delete it: accelerate no longer uses Intel's extension",
    "use_xpu": "write distributed_type: MULTI_XPU",
    "tp_config": "write parallelism_config: {parallelism_config_tp_size: ...}",
    "num_cpu_threads_per_process": (
        "use the spec's accelerate.num_cpu_threads_per_process, or the flag on a command line"
    ),
    "zero_optimization": (
        "use deepspeed_config: {deepspeed_config_file: ...} for a DeepSpeed JSON"
    ),
    "gradient_accumulation_steps": (
        "use the spec's accelerate.gradient_accumulation_steps, which reaches Accelerator() with "
        "every strategy"
    ),
}
OLD_SECTION_KEYS = {
    "deepspeed_config": {
        "stage": "use zero_stage",
        "zero_optimization": (
            "use zero_stage, or deepspeed_config_file with DeepSpeed's own keys in a JSON"
        ),
        "offload_optimizer": "use offload_optimizer_device",
        "offload_param": "use offload_param_device",
        "mixed_precision": "move it up, next to deepspeed_config",
        "zero3_save_fp16_model": "use zero3_save_16bit_model",
    },
    "fsdp_config": {
        "fsdp_backward_prefetch_policy": "use fsdp_backward_prefetch",
        "backward_prefetch_policy": "use fsdp_backward_prefetch",
        "fsdp_optim_state_dict_type": "delete it: accelerate derives it from fsdp_state_dict_type",
        "optim_state_dict_type": "delete it: accelerate derives it from fsdp_state_dict_type",
        "fsdp_cpu_offload": "use fsdp_offload_params",
        "cpu_offload": "use fsdp_offload_params",
        "fsdp_transformer_cls_names_to_wrap": "use fsdp_transformer_layer_cls_to_wrap",
        "transformer_cls_names_to_wrap": "use fsdp_transformer_layer_cls_to_wrap",
        "fsdp_mixed_precision_policy": "delete it: it follows from mixed_precision",
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


def check_keys(values: ConfigValues, words: AccelerateKeys) -> None:
    """Record every key that accelerate does not know; the loader checks the spec's own keys."""
    if not values.in_spec:
        known = words.config | CONVERTED
        for key in sorted(set(map(str, values.tree)) - known):
            hint = OLD_KEYS.get(key) or _suggest_key(key, known)
            values.add_problem([key], "unknown key; accelerate refuses the whole file", hint)
    for name in SECTIONS:
        known = words.of_section(name)
        for key in sorted(set(map(str, values.section(name))) - known):
            values.add_problem(
                [name, key],
                "unknown key; accelerate silently ignores it",
                _section_hint(name, key, known),
            )


def _section_hint(name: str, key: str, known: frozenset[str]) -> str:
    own = name == "deepspeed_config" and key in _DEEPSPEEDS_OWN
    old = OLD_SECTION_KEYS.get(name, {}).get(key)
    return (
        "use deepspeed_config_file with DeepSpeed's own keys in a JSON"
        if own
        else old or _suggest_key(key, known)
    )


def _suggest_key(key: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
