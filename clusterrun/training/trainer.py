"""Make a `transformers.Trainer`, or a trainer built on it, resumable with one line.

    trainer = Trainer(model=model, args=args, train_dataset=data)
    resumable(trainer)
    trainer.train()

It adds a TrainerCallback, which alone would not do: what `train` loads is decided by its argument
`resume_from_checkpoint` before any callback is asked, no callback is given the trainer, and only
scripts read `TrainingArguments.resume_from_checkpoint` (transformers 5.23). So `resumable` also
stands before two methods of this one trainer: `train`, to choose the checkpoint, and
`_save_checkpoint`, to seal what every save of Trainer has written. Needs transformers at import.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from transformers import Trainer
from transformers.trainer_jit_checkpoint import JITCheckpointCallback

from clusterrun.errors import TrainingError
from clusterrun.training.checks import check_world
from clusterrun.training.hf_trainer.callbacks import MLflowRecord, StopCallback
from clusterrun.training.hf_trainer.output_dir import log_line
from clusterrun.training.protocol import read_protocol
from clusterrun.training.records.events import mark_refusals

T = TypeVar("T", bound=Trainer)
_ACCUMULATION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"


@mark_refusals()
def resumable(trainer: T) -> T:
    """Make a Trainer resume by itself, save safely, and leave when asked; returns the same trainer.

    `trainer.train()` then begins with the newest checkpoint in `output_dir` that verifies. A stop
    saves at an optimizer step and leaves by SystemExit(0) on all ranks: what follows `train` runs
    once, with the finished model. What the job spec says of checkpoints is done beside Trainer's
    own `save_strategy`, whose checkpoints are kept as `save_total_limit` says. Without clusterrun
    it resumes and seals.

    Call it on every rank. Raises TrainingError when the processes are not those that were asked
    for.
    """
    attempt = read_protocol(os.environ)
    check_world(trainer.accelerator, os.environ, attempt.world_size if attempt else None)
    if attempt:
        _check_accumulation(trainer)
        _check_nodes(trainer, attempt.reference)
        _restore_signal(trainer)
        trainer.add_callback(MLflowRecord(attempt.paths.trackers))
        if attempt.async_save and trainer.accelerator.is_main_process:
            log_line(
                "warning: saving synchronously: Trainer writes its own checkpoints, and only "
                "while training waits"
            )
    callback = StopCallback(trainer, attempt)
    trainer.add_callback(callback)
    trainer.train = partial(_train, trainer.train, callback)  # type: ignore[method-assign]
    save = trainer._save_checkpoint  # noqa: SLF001 - as Trainer's own enable_jit_checkpoint does
    trainer._save_checkpoint = partial(callback.save, save)  # type: ignore[method-assign]  # noqa: SLF001
    return trainer


@mark_refusals()
def _train(
    train: Any,
    callback: StopCallback,
    resume_from_checkpoint: str | bool | None = None,
    trial: Any = None,
    *more: Any,
    **named: Any,
) -> Any:
    if (
        trial is not None
    ):  # one of many trainings of a hyperparameter search, in a folder of its own
        return train(resume_from_checkpoint, trial, *more, **named)
    callback.move_to_the_end()
    wanted = (
        None
        if isinstance(resume_from_checkpoint, (bool, type(None)))
        else Path(resume_from_checkpoint)
    )
    chosen = callback.state.choose(wanted.absolute() if wanted else None)
    return train(chosen.name if chosen else None, trial, *more, **named)


def _check_accumulation(trainer: Trainer) -> None:
    asked, present = os.environ.get(_ACCUMULATION), trainer.args.gradient_accumulation_steps
    if (
        asked and int(asked) != present and not trainer.is_deepspeed_enabled
    ):  # accelerate launch sets it for DeepSpeed
        raise TrainingError(
            f"Trainer accumulates gradients over {present} batches, but {_ACCUMULATION} is {asked}",
            f"Trainer does not look at it: set gradient_accumulation_steps={asked} in "
            "TrainingArguments",
        )


def _check_nodes(trainer: Trainer, reference: int | None) -> None:
    if reference and reference != trainer.accelerator.num_processes:
        raise TrainingError(
            "slurm.nodes is a range, and a Trainer's steps cannot follow it: "
            f"{trainer.accelerator.num_processes} "
            f"processes are here, {reference} on the most nodes",
            "give slurm.nodes one number",
        )


def _restore_signal(trainer: Trainer) -> None:
    """Undo `enable_jit_checkpoint`: its stop looks like the end of training, 3 s after ours."""
    callback = trainer.pop_callback(JITCheckpointCallback)
    if callback:
        callback.on_train_end(trainer.args, trainer.state, trainer.control)
