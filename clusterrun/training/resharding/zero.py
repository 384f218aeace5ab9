"""DeepSpeed ZeRO: its own accumulation, and its universal checkpoint for another number of ranks.

Under ZeRO each rank saves a part of the optimizer, and as many ranks must load them.
`deepspeed.checkpoint` puts the parts together into a folder that any number can load: once more as
many bytes as the optimizer has, on the same disk.
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
    """Whether DeepSpeed trains."""
    return bool(accelerator.distributed_type == "DEEPSPEED")


def accumulation(accelerator: Accelerator) -> int:
    """Return the gradient accumulation; DeepSpeed's config takes precedence over accelerate's."""
    said = (
        accelerator.deepspeed_plugin.deepspeed_config.get("gradient_accumulation_steps")
        if is_zero(accelerator)
        else ""
    )
    return said if isinstance(said, int) else int(accelerator.gradient_accumulation_steps)


def accumulate(accelerator: Accelerator, steps: int) -> None:
    """Accumulate over so many batches from now on, before accelerator.prepare or after it."""
    accelerator.gradient_accumulation_steps = steps
    if not is_zero(accelerator):
        return
    accelerator.deepspeed_plugin.deepspeed_config["gradient_accumulation_steps"] = steps
    accelerator.deepspeed_plugin.gradient_accumulation_steps = steps
    for engine in accelerator._models:  # noqa: SLF001 - one that is made already
        engine.set_train_batch_size(
            engine.train_micro_batch_size_per_gpu() * steps * int(accelerator.num_processes)
        )


def find_problem(accelerator: Accelerator) -> str | None:
    """Say why the universal checkpoint would not hold all of the state; None where it does."""
    for engine in accelerator._models:  # noqa: SLF001
        trained = {name for name, one in engine.module.named_parameters() if one.requires_grad}
        left_out = sorted(set(engine.module.state_dict()) - trained - _tied_names(engine.module))
        if left_out:
            return (
                "DeepSpeed's universal checkpoint leaves out buffers and frozen weights, such as "
                f"{left_out[0]}"
            )
        config = engine.config.get("zero_optimization", {})
        if any(
            (config.get(f"offload_{what}") or {}).get("device", "none") != "none"
            for what in ("optimizer", "param")
        ):
            return "ZeRO with offload was not tried with another number"
        # what it carries is Adam's: exp_avg, exp_avg_sq and step
        if (
            not hasattr(engine.optimizer, "optimizer")
            or "betas" not in engine.optimizer.optimizer.defaults
        ):
            return "DeepSpeed's universal checkpoint holds the states of Adam and AdamW only"
    return None


def load(
    accelerator: Accelerator, checkpoint: Path, staging: Path, wait: Callable[[], None]
) -> None:
    """Load a checkpoint of another number of ranks; every rank must call it. Raises OSError.

    The main process converts it into `staging`, which all nodes see; `wait` waits for all ranks.
    """
    folder = staging / f"{checkpoint.name}.universal"
    if accelerator.is_main_process:
        _convert(checkpoint, folder)
    wait()
    for engine in accelerator._models:  # noqa: SLF001
        engine._config.load_universal_checkpoint = True  # noqa: SLF001 - what checkpoint.load_universal sets
    accelerator.load_state(str(folder))
    for number, engine in enumerate(accelerator._models):  # noqa: SLF001
        engine._config.load_universal_checkpoint = False  # noqa: SLF001
        _restore_groups(engine, folder / _name(number))
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
    """Give each group of parameters its own rates and its own count of steps again.

    Stage 3 loads the first group's rates into all, and one tensor as the count of all, which each
    then counts up (DeepSpeed 0.19, zero/stage3.py).
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
    """List the other names of weights that have several."""
    first: dict[int, str] = {}
    both = (
        (name, one, first.setdefault(id(one), name))
        for name, one in module.named_parameters(remove_duplicate=False)
    )
    return {name for name, _, known in both if name != known}


def _name(number: int) -> str:
    return _MODEL if number == 0 else f"{_MODEL}_{number}"
