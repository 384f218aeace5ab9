"""Checks before the first step, for mistakes that would silently change the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clusterrun.errors import TrainingError
from clusterrun.training.resharding.world_size import count_processes

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_world(
    accelerator: Accelerator, environment: Mapping[str, str], expected: int | None
) -> None:
    """Raise TrainingError unless accelerate sees all processes that torchrun and the job started.

    `accelerate launch` can start N processes that silently train independently.
    """
    present = int(accelerator.num_processes)
    launched = int(environment.get("WORLD_SIZE") or present)
    if launched != present:
        raise TrainingError(
            f"accelerate sees {count_processes(present)}, but the launcher started {launched} "
            "(WORLD_SIZE): each would train independently",
            "on CPUs set ACCELERATE_USE_CPU=true and launch with --multi_gpu; with DeepSpeed on "
            'CPUs unset it and give the Accelerator InitProcessGroupKwargs(backend="gloo")',
        )
    if expected is not None and expected != present:
        raise TrainingError(
            f"this job is for {count_processes(expected)} (CLUSTERRUN_WORLD_SIZE), but has "
            f"{present}",
            "--num_processes of accelerate launch is the total over all machines; see the log",
        )


def check_accumulation(accelerator: Accelerator, environment: Mapping[str, str]) -> None:
    """Raise TrainingError if the Accelerator ignores ACCELERATE_GRADIENT_ACCUMULATION_STEPS.

    With DeepSpeed its own config decides, and only once the model is prepared.
    """
    name = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
    requested = environment.get(name)
    if not requested or accelerator.distributed_type == "DEEPSPEED":
        return
    if int(requested) != accelerator.gradient_accumulation_steps:
        raise TrainingError(
            f"gradients are accumulated over {accelerator.gradient_accumulation_steps} batches, "
            f"but {name} is {requested}",
            "do not pass a GradientAccumulationPlugin to the Accelerator; it hides the variable",
        )


def check_prepared(accelerator: Accelerator) -> None:
    """Raise TrainingError if the Accelerator has no model yet into which to load a checkpoint."""
    if not getattr(accelerator, "_models", True):
        raise TrainingError(
            "the run was resumed before accelerator.prepare(), so no model would be loaded",
            "call accelerator.prepare() before run.resume(), run.epochs(), run.batches() and "
            "run.evaluation()",
        )


def check_naming(accelerator: Accelerator) -> None:
    """Raise TrainingError if accelerate names checkpoints, because it then ignores our folder."""
    if accelerator.project_configuration.automatic_checkpoint_naming:
        raise TrainingError(
            "the Accelerator uses automatic_checkpoint_naming, which restarts from 0 after each "
            "resume",
            "remove it from the ProjectConfiguration: TrainingRun names checkpoints by step and "
            "attempt",
        )


def check_world_of_checkpoint(name: str, saved: int, present: int, why: str = "") -> None:
    """Raise TrainingError unless a checkpoint was saved by the present number of processes.

    With another number, the learning rate and the position in the data would silently be wrong;
    `why` is added to the message.
    """
    if saved != present:
        raise TrainingError(
            f"checkpoint {name} was saved by {count_processes(saved)}, but this attempt has "
            f"{present}" + f": {why}" * bool(why),
            f"run with {count_processes(saved)}, or use another folder",
        )
