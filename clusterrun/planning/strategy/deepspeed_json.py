"""A DeepSpeed JSON: what accelerate or DeepSpeed refuse in it, or read otherwise than it was meant.

Source: accelerate 1.15 (DeepSpeedPlugin, Accelerator._prepare_deepspeed) and deepspeed 0.19
(runtime/config.py).
"""

from __future__ import annotations

from clusterrun.planning.strategy.given import Given, number
from clusterrun.planning.strategy.machines import Machines
from clusterrun.planning.strategy.training import Training

_ZERO = "zero_optimization"
_STEPS = "gradient_accumulation_steps"
_MICRO = "train_micro_batch_size_per_gpu"

# Words that DeepSpeed has given up, and what stands for them today
# (deepspeed/runtime/zero/config.py).
OLD_ZERO = {
    "cpu_offload": 'offload_optimizer: {"device": "cpu"}',
    "cpu_offload_params": 'offload_param: {"device": "cpu"}',
    "cpu_offload_use_pin_memory": 'offload_optimizer: {"device": "cpu", "pin_memory": true}',
    "stage3_gather_fp16_weights_on_model_save": "stage3_gather_16bit_weights_on_model_save",
}


def check_json(given: Given, machines: Machines, training: Training, precision: str) -> None:
    """Note what is wrong with a DeepSpeed JSON; `precision` fills its "auto", empty if unset."""
    if not isinstance(given.values.get(_ZERO), dict):
        given.fault(
            [_ZERO],
            "is missing, and accelerate refuses a DeepSpeed config without it",
            'at least {"stage": 2}',
        )
    for key, word in OLD_ZERO.items():
        if key in given.section(_ZERO):
            given.fault([_ZERO, key], "an old word of DeepSpeed", f"today: {word}")
    _check_precision(given, precision)
    _check_zero(given)
    _check_duplicates(given, training)
    _check_batch(given, machines, training)


def _check_precision(given: Given, precision: str) -> None:
    fp16, bf16 = given.get("fp16", "enabled"), given.get("bf16", "enabled")
    if fp16 is True and bf16 is True:
        given.fault(
            ["bf16", "enabled"],
            "fp16 and bf16 are both enabled, which DeepSpeed refuses",
            '"auto" in both: mixed_precision says which',
        )
        return
    other = {"bf16": ("fp16", fp16), "fp8": ("fp16", fp16), "fp16": ("bf16", bf16)}.get(precision)
    if other and other[1] is True:
        given.fault(
            [other[0], "enabled"],
            f"accelerate refuses it with mixed_precision: {precision}",
            '"auto" in both fp16.enabled and bf16.enabled',
        )
    if not precision and fp16 == "auto" and bf16 == "auto":
        given.note(["bf16", "enabled"], "nothing says a mixed_precision, so that it trains in fp32")
    own = {"bf16": bf16, "fp16": fp16}.get(precision)
    if own is False:
        given.fault(
            [precision, "enabled"],
            f"false, so that mixed_precision: {precision} would train in fp32",
            '"auto" in both fp16.enabled and bf16.enabled',
        )


def _check_zero(given: Given) -> None:
    stage = given.get(_ZERO, "stage")
    for what in ("offload_optimizer", "offload_param"):
        device = given.get(_ZERO, what, "device")
        if device == "nvme" and not given.get(_ZERO, what, "nvme_path"):
            given.fault(
                [_ZERO, what, "device"],
                "nvme needs a folder on each node's own disk",
                '"nvme_path": "/local/scratch"',
            )
        if what == "offload_param" and device in ("cpu", "nvme") and stage != 3:
            given.fault(
                [_ZERO, what],
                f"only ZeRO-3 shards parameters; DeepSpeed ignores it at stage {stage}",
                '"stage": 3, or leave it out',
            )
    if stage == 3 and given.get(_ZERO, "stage3_gather_16bit_weights_on_model_save") is not True:
        given.note(
            [_ZERO, "stage"],
            "without stage3_gather_16bit_weights_on_model_save, accelerator.get_state_dict "
            "fails at the end of a training",
        )


def _check_duplicates(given: Given, training: Training) -> None:
    """Note numbers that differ: the JSON overrides spec and script, with only a warning."""
    steps, asked = given.values.get(_STEPS), training.accumulation
    if asked and asked != 1 and steps is None:
        given.fault(
            [_STEPS],
            f"is missing, which accelerate reads as 1, not as the {asked} of the spec",
            '"auto"',
        )
    elif asked and number(steps) not in (None, asked):
        given.fault([_STEPS], f"{steps} here, {asked} in the spec; DeepSpeed's would win", '"auto"')
    micro = number(given.values.get(_MICRO))
    if micro and training.micro_batch and micro != training.micro_batch:
        given.fault(
            [_MICRO],
            f"{micro} here, {training.micro_batch} in args.{training.micro_batch_key}",
            '"auto"',
        )


def _check_batch(given: Given, machines: Machines, training: Training) -> None:
    """Note a batch size that is not micro batch x accumulation x processes (DeepSpeed)."""
    whole = number(given.values.get("train_batch_size"))
    steps = accumulation_of(given, training)
    if not whole or not steps or not machines.processes:
        return
    micro = number(given.values.get(_MICRO)) or training.micro_batch
    each = steps * machines.processes
    if micro and whole != micro * each:
        given.fault(
            ["train_batch_size"],
            f"{whole} is not {micro} a process x {machines.processes} processes x "
            f"{steps} accumulated, {micro * each}, which DeepSpeed demands",
            '"auto"',
        )
    elif whole % each:
        given.fault(
            ["train_batch_size"],
            f"{whole} does not divide by {machines.processes} processes x {steps} "
            "accumulated, which DeepSpeed demands",
            '"auto"',
        )


def accumulation_of(given: Given, training: Training) -> int | None:
    """Return how many batches make an optimizer step; None if nothing sets it."""
    steps = given.values.get(_STEPS)
    return 1 if steps is None else number(steps) or training.accumulation
