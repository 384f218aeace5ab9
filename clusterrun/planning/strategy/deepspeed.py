"""DeepSpeed's section of accelerate's words: what accelerate refuses only when the job has started.

Source: accelerate 1.15, DeepSpeedPlugin in utils/dataclasses.py and prepare_deepspeed_cmd_env in
utils/launch.py.
"""

from __future__ import annotations

from clusterrun.planning.accelerate_config import deepspeed_json_path
from clusterrun.planning.strategy.given import Given, quoted_number, truth
from clusterrun.planning.strategy.machines import Machines
from clusterrun.planning.strategy.training import Training

SECTION = "deepspeed_config"
DEVICES = ("none", "cpu", "nvme")

# Refused beside a JSON (_deepspeed_config_checks), and what says the same in that JSON.
BESIDE_JSON = {
    "zero_stage": "zero_optimization.stage",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_clipping": "gradient_clipping",
    "offload_optimizer_device": "zero_optimization.offload_optimizer.device",
    "offload_param_device": "zero_optimization.offload_param.device",
    "offload_optimizer_nvme_path": "zero_optimization.offload_optimizer.nvme_path",
    "offload_param_nvme_path": "zero_optimization.offload_param.nvme_path",
    "zero3_save_16bit_model": "zero_optimization.stage3_gather_16bit_weights_on_model_save",
}
_ON_CPU = "no GPUs are asked for, and on CPUs accelerate trains with DDP in its place, in silence"
TRY_ON_CPU = (
    "to try DeepSpeed on CPUs: use_cpu: false, DS_ACCELERATOR=cpu, and gloo by "
    "InitProcessGroupKwargs"
)


def check_deepspeed(given: Given, machines: Machines, training: Training) -> None:
    """Note what is wrong with a `deepspeed_config`; its JSON file is checked elsewhere."""
    section = given.section(SECTION)
    if not machines.gpus and not (given.in_spec and given.get("use_cpu") is False):
        given.fault([SECTION], _ON_CPU, f"ask for GPUs, as slurm.gpus-per-node; {TRY_ON_CPU}")
    launcher = section.get("deepspeed_multinode_launcher", "standard")
    if machines.nodes > 1 and launcher != "standard":
        given.fault(
            [SECTION, "deepspeed_multinode_launcher"],
            f"{launcher} would start the nodes a second time, beside Slurm",
            "standard, or leave it out: one accelerate launch runs on each node",
        )
    if deepspeed_json_path(section):
        _check_beside_json(given)
        return
    _check_stage(given)
    _check_accumulation(given, training)


def _check_accumulation(given: Given, training: Training) -> None:
    """Note accumulation in the section: it overrides what a script gives its Accelerator."""
    steps = quoted_number(given.section(SECTION).get("gradient_accumulation_steps"))
    place = [SECTION, "gradient_accumulation_steps"]
    if steps and training.steps and steps != training.steps:
        given.fault(
            place,
            f"{steps} here, {training.steps} in accelerate.gradient_accumulation_steps",
            "say it there alone; it reaches DeepSpeed",
        )
    elif (
        steps
        and not training.steps
        and training.argument_steps not in (None, steps)
        and not training.trainer
    ):
        given.fault(
            place,
            f"{steps} here, {training.argument_steps} in args; accelerate's would win",
            f"accelerate.gradient_accumulation_steps: {training.argument_steps}, and none here",
        )


def _check_beside_json(given: Given) -> None:
    path = deepspeed_json_path(given.section(SECTION))
    for key, word in BESIDE_JSON.items():
        if key in given.section(SECTION):
            given.fault(
                [SECTION, key],
                "accelerate refuses it beside deepspeed_config_file",
                f"say it in {path}, as {word}",
            )
    if not given.in_spec and given.get("mixed_precision") is not None:
        given.fault(
            ["mixed_precision"],
            "accelerate refuses it beside deepspeed_config_file",
            f"delete it, and say it in {path}, as bf16.enabled; or use a spec's own "
            "mixed_precision "
            "with its deepspeed_config",
        )


def _check_stage(given: Given) -> None:
    section = given.section(SECTION)
    stage = quoted_number(section.get("zero_stage", 2))
    if stage not in range(4):
        given.fault([SECTION, "zero_stage"], f"must be 0, 1, 2 or 3, got {section['zero_stage']!r}")
    for what in ("optimizer", "param"):
        device = section.get(f"offload_{what}_device") or "none"
        _check_offload(given, (SECTION,), f"offload_{what}_device", device)
        if device == "nvme" and section.get(f"offload_{what}_nvme_path") in (None, "none"):
            given.fault(
                [SECTION, f"offload_{what}_device"],
                "nvme needs a folder on each node's own disk",
                f"offload_{what}_nvme_path: /local/scratch",
            )
    if section.get("offload_param_device") in ("cpu", "nvme") and stage != 3:
        given.fault(
            [SECTION, "offload_param_device"],
            f"only ZeRO-3 shards parameters; DeepSpeed ignores it at stage {stage}",
            "zero_stage: 3, or leave it out",
        )
    if stage == 3 and not truth(section.get("zero3_save_16bit_model", "false")):
        given.note(
            [SECTION, "zero_stage"],
            "without zero3_save_16bit_model: true, accelerator.get_state_dict fails at "
            "the end of a training",
        )


def _check_offload(given: Given, path: tuple[str, ...], key: str, device: object) -> None:
    if device not in DEVICES:
        given.fault([*path, key], f"must be one of {', '.join(DEVICES)}; got {device!r}")
