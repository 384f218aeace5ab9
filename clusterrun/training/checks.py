"""What must be true before the first step: mistakes that would otherwise train something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clusterrun.errors import TrainingError
from clusterrun.training.resharding.world_size import counted

if TYPE_CHECKING:
    from accelerate import Accelerator


def check_world(
    accelerator: Accelerator, environment: Mapping[str, str], expected: int | None
) -> None:
    """Raise TrainingError unless accelerate sees as many processes as torchrun and the job started.

    `accelerate launch` can start N processes that each train alone, without a word.
    """
    seen = int(accelerator.num_processes)
    launched = int(environment.get("WORLD_SIZE") or seen)
    if launched != seen:
        raise TrainingError(
            f"accelerate sees {counted(seen)}, the launcher started {launched} (WORLD_SIZE): each "
            "would train alone",
            "on CPUs set ACCELERATE_USE_CPU=true and launch with --multi_gpu; with DeepSpeed on "
            'CPUs unset it and give the Accelerator InitProcessGroupKwargs(backend="gloo")',
        )
    if expected is not None and expected != seen:
        raise TrainingError(
            f"this job is for {counted(expected)} (CLUSTERRUN_WORLD_SIZE), but has {seen}",
            "--num_processes of accelerate launch is the total over all machines; see the log",
        )


def check_accumulation(accelerator: Accelerator, environment: Mapping[str, str]) -> None:
    """Raise TrainingError unless the Accelerator accumulates as ACCELERATE_... asks, where it does.

    DeepSpeed's own config decides for DeepSpeed, and only once the model is prepared.
    """
    name = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
    asked = environment.get(name)
    if not asked or accelerator.distributed_type == "DEEPSPEED":
        return
    if int(asked) != accelerator.gradient_accumulation_steps:
        raise TrainingError(
            f"gradients are accumulated over {accelerator.gradient_accumulation_steps} batches, "
            f"but {name} is {asked}",
            "do not pass a GradientAccumulationPlugin to the Accelerator; it hides the variable",
        )


def check_prepared(accelerator: Accelerator) -> None:
    """Raise TrainingError if the Accelerator has no model yet to load a checkpoint into."""
    if not getattr(accelerator, "_models", True):
        raise TrainingError(
            "the run was resumed before accelerator.prepare(), so no model would be loaded",
            "call accelerator.prepare() before run.resume(), run.epochs(), run.batches() and "
            "run.evaluation()",
        )


def check_naming(accelerator: Accelerator) -> None:
    """Raise TrainingError if accelerate names checkpoints itself: it then ignores our folder."""
    if accelerator.project_configuration.automatic_checkpoint_naming:
        raise TrainingError(
            "the Accelerator has automatic_checkpoint_naming, which counts from 0 again after "
            "each resume",
            "leave it out of the ProjectConfiguration: TrainingRun names checkpoints by step and "
            "attempt",
        )


def check_world_of_checkpoint(name: str, saved: int, present: int, why: str = "") -> None:
    """Raise TrainingError unless a checkpoint was saved by as many processes as are here now.

    With another number, the learning rate and the place in the data would be wrong in silence;
    `why` says more.
    """
    if saved != present:
        raise TrainingError(
            f"checkpoint {name} was saved by {counted(saved)}, but this attempt has {present}"
            + f": {why}" * bool(why),
            f"run with {counted(saved)}, or train into another folder",
        )
