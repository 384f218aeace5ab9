"""DeepSpeed ZeRO: its own accumulation, and its universal checkpoint for another number of ranks.

With ZeRO each rank saves a part of the optimizer, which only the same number of ranks can load.
`deepspeed.checkpoint` joins the parts in a folder that any number can load, which needs the size of
the optimizer again on the same disk.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator

_MODEL = "pytorch_model"  # accelerate.utils.constants.MODEL_NAME


def is_zero(accelerator: Accelerator) -> bool:
    """Return whether training uses DeepSpeed."""
    return bool(accelerator.distributed_type == "DEEPSPEED")


def accumulation(accelerator: Accelerator) -> int:
    """Return the gradient accumulation; DeepSpeed's config takes precedence over accelerate's."""
    configured = (
        accelerator.deepspeed_plugin.deepspeed_config.get("gradient_accumulation_steps")
        if is_zero(accelerator)
        else ""
    )
    if isinstance(configured, int):
        return configured
    return int(accelerator.gradient_accumulation_steps)


def accumulate(accelerator: Accelerator, steps: int) -> None:
    """Set the number of accumulated batches, before or after accelerator.prepare."""
    accelerator.gradient_accumulation_steps = steps
    if not is_zero(accelerator):
        return
    accelerator.deepspeed_plugin.deepspeed_config["gradient_accumulation_steps"] = steps
    accelerator.deepspeed_plugin.gradient_accumulation_steps = steps
    for engine in accelerator._models:  # noqa: SLF001 - if it is prepared already
        engine.set_train_batch_size(
            engine.train_micro_batch_size_per_gpu() * steps * int(accelerator.num_processes)
        )


def find_problem(accelerator: Accelerator) -> str | None:
    """Return why the universal checkpoint would lack a part of the state; None if it would not."""
    for engine in accelerator._models:  # noqa: SLF001
        trained = {name for name, one in engine.module.named_parameters() if one.requires_grad}
        omitted = sorted(set(engine.module.state_dict()) - trained - _tied_names(engine.module))
        if omitted:
            return (
                "DeepSpeed's universal checkpoint omits buffers and frozen weights, such as "
                f"{omitted[0]}"
            )
        config = engine.config.get("zero_optimization", {})
        if any(
            (config.get(f"offload_{what}") or {}).get("device", "none") != "none"
            for what in ("optimizer", "param")
        ):
            return "another number is not supported for ZeRO with offload"
        # it has only Adam's state: exp_avg, exp_avg_sq and step
        if (
            not hasattr(engine.optimizer, "optimizer")
            or "betas" not in engine.optimizer.optimizer.defaults
        ):
            return "DeepSpeed's universal checkpoint supports only Adam and AdamW"
    return None


def load(
    accelerator: Accelerator, checkpoint: Path, staging: Path, wait: Callable[[], None]
) -> None:
    """Load a checkpoint from another number of ranks. Call it on every rank. Raises OSError.

    The main process converts it into `staging`, which all nodes share; `wait` waits for all ranks.
    """
    folder = staging / f"{checkpoint.name}.universal"
    if accelerator.is_main_process:
        _convert(checkpoint, folder)
    wait()
    for engine in accelerator._models:  # noqa: SLF001
        engine._config.load_universal_checkpoint = True  # noqa: SLF001 - as checkpoint.load_universal does
    accelerator.load_state(str(folder))
    for number, engine in enumerate(accelerator._models):  # noqa: SLF001
        engine._config.load_universal_checkpoint = False  # noqa: SLF001
        _restore_groups(engine, folder / _folder_name(number))
    wait()
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)


def _convert(checkpoint: Path, folder: Path) -> None:
    from deepspeed.checkpoint.ds_to_universal import main

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for entry in checkpoint.iterdir():
        if not entry.name.startswith(_MODEL):
            (folder / entry.name).symlink_to(entry.absolute())
            continue
        words = {"input_folder": str(entry.absolute()), "output_folder": str(folder / entry.name)}
        with contextlib.redirect_stdout(sys.stderr):
            main(
                Namespace(
                    **words,
                    num_extract_workers=1,
                    num_merge_workers=1,
                    keep_temp_folder=False,
                    strict=True,
                    inject_missing_state=True,
                )
            )


def _restore_groups(engine: Any, folder: Path) -> None:
    """Restore the hyperparameters and the step count of each group of parameters.

    Stage 3 loads those of the first group into all, and one tensor as the step count of all, which
    each group then increments (DeepSpeed 0.19, zero/stage3.py).
    """
    import torch

    if engine.zero_optimization_stage() < 3:
        return
    saved = torch.load(folder / "zero" / "optimizer_state.pt", weights_only=False)
    for state in engine.optimizer.optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()
    groups = saved["optimizer_state_dict"]["param_groups"]
    for group, before in zip(engine.optimizer.optimizer.param_groups, groups, strict=True):
        group.update({key: value for key, value in before.items() if key != "params"})


def _tied_names(module: Any) -> set[str]:
    """Return the additional names of weights that have several."""
    first_names: dict[int, str] = {}
    pairs = (
        (name, first_names.setdefault(id(one), name))
        for name, one in module.named_parameters(remove_duplicate=False)
    )
    return {name for name, first in pairs if name != first}


def _folder_name(number: int) -> str:
    return _MODEL if number == 0 else f"{_MODEL}_{number}"
