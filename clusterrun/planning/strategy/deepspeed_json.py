"""A DeepSpeed JSON: values that accelerate or DeepSpeed refuse, or read in an unexpected way.

Source: accelerate 1.15 (DeepSpeedPlugin, Accelerator._prepare_deepspeed) and deepspeed 0.19
(runtime/config.py).
"""

from __future__ import annotations

from clusterrun.planning.strategy.config_values import ConfigValues, number
from clusterrun.planning.strategy.machines import Machines
from clusterrun.planning.strategy.training import Training

_ZERO = "zero_optimization"
_STEPS = "gradient_accumulation_steps"
_MICRO = "train_micro_batch_size_per_gpu"

# Keys that DeepSpeed has removed, and their replacements (deepspeed/runtime/zero/config.py).
OLD_ZERO = {
    "cpu_offload": 'offload_optimizer: {"device": "cpu"}',
    "cpu_offload_params": 'offload_param: {"device": "cpu"}',
    "cpu_offload_use_pin_memory": 'offload_optimizer: {"device": "cpu", "pin_memory": true}',
    "stage3_gather_fp16_weights_on_model_save": "stage3_gather_16bit_weights_on_model_save",
}


def check_json(
    values: ConfigValues, machines: Machines, training: Training, precision: str
) -> None:
    """Record the mistakes in a DeepSpeed JSON; `precision` fills its "auto", empty if unset."""
    if not isinstance(values.tree.get(_ZERO), dict):
        values.add_problem(
            [_ZERO],
            "missing; accelerate refuses a DeepSpeed config without it",
            'write at least {"stage": 2}',
        )
    for key, word in OLD_ZERO.items():
        if key in values.section(_ZERO):
            values.add_problem([_ZERO, key], "DeepSpeed has removed this key", f"write {word}")
    _check_precision(values, precision)
    _check_zero(values)
    _check_duplicates(values, training)
    _check_batch(values, machines, training)


def _check_precision(values: ConfigValues, precision: str) -> None:
    fp16, bf16 = values.get("fp16", "enabled"), values.get("bf16", "enabled")
    if fp16 is True and bf16 is True:
        values.add_problem(
            ["bf16", "enabled"],
            "DeepSpeed refuses fp16 and bf16 together",
            'write "auto" in both; mixed_precision selects one',
        )
        return
    other = {"bf16": ("fp16", fp16), "fp8": ("fp16", fp16), "fp16": ("bf16", bf16)}.get(precision)
    if other and other[1] is True:
        values.add_problem(
            [other[0], "enabled"],
            f"accelerate refuses it with mixed_precision: {precision}",
            'write "auto" in both fp16.enabled and bf16.enabled',
        )
    if not precision and fp16 == "auto" and bf16 == "auto":
        values.add_note(["bf16", "enabled"], "mixed_precision is not set, so training runs in fp32")
    own = {"bf16": bf16, "fp16": fp16}.get(precision)
    if own is False:
        values.add_problem(
            [precision, "enabled"],
            f"false, so mixed_precision: {precision} would train in fp32",
            'write "auto" in both fp16.enabled and bf16.enabled',
        )


def _check_zero(values: ConfigValues) -> None:
    stage = values.get(_ZERO, "stage")
    for what in ("offload_optimizer", "offload_param"):
        device = values.get(_ZERO, what, "device")
        if device == "nvme" and not values.get(_ZERO, what, "nvme_path"):
            values.add_problem(
                [_ZERO, what, "device"],
                "nvme requires a folder on each node's local disk",
                'add "nvme_path": "/local/scratch"',
            )
        if what == "offload_param" and device in ("cpu", "nvme") and stage != 3:
            values.add_problem(
                [_ZERO, what],
                f"DeepSpeed ignores it at stage {stage}; only ZeRO-3 shards parameters",
                'write "stage": 3, or delete it',
            )
    if stage == 3 and values.get(_ZERO, "stage3_gather_16bit_weights_on_model_save") is not True:
        values.add_note(
            [_ZERO, "stage"],
            "without stage3_gather_16bit_weights_on_model_save, accelerator.get_state_dict "
            "fails at the end of training",
        )


def _check_duplicates(values: ConfigValues, training: Training) -> None:
    """Record numbers that differ: the JSON overrides spec and script, with only a warning."""
    steps, expected = values.tree.get(_STEPS), training.accumulation
    if expected and expected != 1 and steps is None:
        values.add_problem(
            [_STEPS],
            f"missing, which accelerate reads as 1; the spec has {expected}",
            'write "auto"',
        )
    elif expected and number(steps) not in (None, expected):
        values.add_problem(
            [_STEPS],
            f"{steps} here, but {expected} in the spec, which this overrides",
            'write "auto"',
        )
    micro = number(values.tree.get(_MICRO))
    if micro and training.micro_batch and micro != training.micro_batch:
        values.add_problem(
            [_MICRO],
            f"{micro} here, but {training.micro_batch} in args.{training.micro_batch_key}",
            'write "auto"',
        )


def _check_batch(values: ConfigValues, machines: Machines, training: Training) -> None:
    """Record a batch size that is not micro batch x accumulation x processes (DeepSpeed)."""
    whole = number(values.tree.get("train_batch_size"))
    steps = accumulation_of(values, training)
    if not whole or not steps or not machines.processes:
        return
    micro = number(values.tree.get(_MICRO)) or training.micro_batch
    each = steps * machines.processes
    if micro and whole != micro * each:
        values.add_problem(
            ["train_batch_size"],
            f"must be {micro * each}: {micro} per process x {machines.processes} processes x "
            f"{steps} accumulated; got {whole}",
            'write "auto"',
        )
    elif whole % each:
        values.add_problem(
            ["train_batch_size"],
            f"{whole} is not divisible by {machines.processes} processes x {steps} accumulated",
            'write "auto"',
        )


def accumulation_of(values: ConfigValues, training: Training) -> int | None:
    """Return the number of batches in an optimizer step; None if nothing sets it."""
    steps = values.tree.get(_STEPS)
    return 1 if steps is None else number(steps) or training.accumulation
