"""`deepspeed_config`: what accelerate refuses only after the job has started.

Source: accelerate 1.15, DeepSpeedPlugin in utils/dataclasses.py and prepare_deepspeed_cmd_env in
utils/launch.py.
"""

from __future__ import annotations

from clusterrun.planning.accelerate_config import deepspeed_json_path
from clusterrun.planning.strategy.config_values import ConfigValues, quoted_number, truth
from clusterrun.planning.strategy.machines import Machines
from clusterrun.planning.strategy.training import Training

SECTION = "deepspeed_config"
DEVICES = ("none", "cpu", "nvme")

# Refused together with a JSON (_deepspeed_config_checks), and the key of that JSON.
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
_ON_CPU = "no GPUs requested; on CPUs accelerate silently trains with DDP instead"
TRY_ON_CPU = (
    "to try DeepSpeed on CPUs, set use_cpu: false, DS_ACCELERATOR=cpu, and gloo with "
    "InitProcessGroupKwargs"
)


def check_deepspeed(values: ConfigValues, machines: Machines, training: Training) -> None:
    """Record the mistakes in a `deepspeed_config`; its JSON file is checked elsewhere."""
    section = values.section(SECTION)
    if not machines.gpus and not (values.in_spec and values.get("use_cpu") is False):
        values.add_problem(
            [SECTION], _ON_CPU, f"request GPUs with slurm.gpus-per-node; {TRY_ON_CPU}"
        )
    launcher = section.get("deepspeed_multinode_launcher", "standard")
    if machines.nodes > 1 and launcher != "standard":
        values.add_problem(
            [SECTION, "deepspeed_multinode_launcher"],
            f"{launcher} would start the nodes a second time, after Slurm",
            "write standard, or delete it: Slurm starts one accelerate launch on each node",
        )
    if deepspeed_json_path(section):
        _check_beside_json(values)
        return
    _check_stage(values)
    _check_accumulation(values, training)


def _check_accumulation(values: ConfigValues, training: Training) -> None:
    """Record accumulation that differs: the section overrides the argument of Accelerator."""
    steps = quoted_number(values.section(SECTION).get("gradient_accumulation_steps"))
    place = [SECTION, "gradient_accumulation_steps"]
    if steps and training.steps and steps != training.steps:
        values.add_problem(
            place,
            f"{steps} here, but {training.steps} in accelerate.gradient_accumulation_steps",
            "delete it here; the other one also reaches DeepSpeed",
        )
    elif (
        steps
        and not training.steps
        and training.argument_steps not in (None, steps)
        and not training.trainer
    ):
        values.add_problem(
            place,
            f"{steps} here, but {training.argument_steps} in args, which this overrides",
            f"delete it here, and set accelerate.gradient_accumulation_steps: "
            f"{training.argument_steps}",
        )


def _check_beside_json(values: ConfigValues) -> None:
    path = deepspeed_json_path(values.section(SECTION))
    for key, word in BESIDE_JSON.items():
        if key in values.section(SECTION):
            values.add_problem(
                [SECTION, key],
                "accelerate refuses it together with deepspeed_config_file",
                f"set {word} in {path}",
            )
    if not values.in_spec and values.get("mixed_precision") is not None:
        values.add_problem(
            ["mixed_precision"],
            "accelerate refuses it together with deepspeed_config_file",
            f"delete it and set bf16.enabled in {path}; or use the spec's mixed_precision and "
            "deepspeed_config",
        )


def _check_stage(values: ConfigValues) -> None:
    section = values.section(SECTION)
    stage = quoted_number(section.get("zero_stage", 2))
    if stage not in range(4):
        values.add_problem(
            [SECTION, "zero_stage"], f"must be 0, 1, 2 or 3, got {section['zero_stage']!r}"
        )
    for what in ("optimizer", "param"):
        device = section.get(f"offload_{what}_device") or "none"
        _check_offload(values, (SECTION,), f"offload_{what}_device", device)
        if device == "nvme" and section.get(f"offload_{what}_nvme_path") in (None, "none"):
            values.add_problem(
                [SECTION, f"offload_{what}_device"],
                "nvme requires a folder on each node's local disk",
                f"add offload_{what}_nvme_path: /local/scratch",
            )
    if section.get("offload_param_device") in ("cpu", "nvme") and stage != 3:
        values.add_problem(
            [SECTION, "offload_param_device"],
            f"DeepSpeed ignores it at stage {stage}; only ZeRO-3 shards parameters",
            "write zero_stage: 3, or delete it",
        )
    if stage == 3 and not truth(section.get("zero3_save_16bit_model", "false")):
        values.add_note(
            [SECTION, "zero_stage"],
            "without zero3_save_16bit_model: true, accelerator.get_state_dict fails at the end of "
            "training",
        )


def _check_offload(values: ConfigValues, path: tuple[str, ...], key: str, device: object) -> None:
    if device not in DEVICES:
        values.add_problem([*path, key], f"must be one of {', '.join(DEVICES)}; got {device!r}")
