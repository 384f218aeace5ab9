"""Make a `transformers.Trainer`, or a subclass of it, resumable with one line.

    trainer = Trainer(model=model, args=args, train_dataset=data)
    resumable(trainer)
    trainer.train()

It adds a TrainerCallback, which is not enough: `train` chooses the checkpoint by its argument
`resume_from_checkpoint` before it calls any callback, a callback does not receive the Trainer
object, and only scripts read `TrainingArguments.resume_from_checkpoint` (transformers 5.23). So
`resumable` also wraps two methods of the object: `train`, to choose the checkpoint, and
`_save_checkpoint`, to seal each checkpoint. Importing this module needs transformers.
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
    """Make a Trainer resume, save safely, and stop on request; return the same trainer.

    `trainer.train()` then resumes from the newest verified checkpoint in `output_dir`. A stop saves
    after an optimizer step and exits by SystemExit(0) on all ranks, so the code after `train` runs
    only once, with the finished model. Checkpoints of the job spec are saved in addition to those
    of Trainer's `save_strategy`, which are kept according to `save_total_limit`. Without clusterrun
    it resumes and seals checkpoints.

    Call it on every rank. Raises TrainingError if the number of processes is not the requested one.
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
                "warning: saving synchronously: Trainer writes its own checkpoints while training "
                "waits"
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
    if trial is not None:  # a trial of a hyperparameter search has its own folder
        return train(resume_from_checkpoint, trial, *more, **named)
    callback.begin(continues=bool(resume_from_checkpoint))
    requested = (
        None
        if isinstance(resume_from_checkpoint, (bool, type(None)))
        else Path(resume_from_checkpoint)
    )
    checkpoint = callback.state.choose(requested.absolute() if requested else None)
    return train(checkpoint.name if checkpoint else None, trial, *more, **named)


def _check_accumulation(trainer: Trainer) -> None:
    requested, present = os.environ.get(_ACCUMULATION), trainer.args.gradient_accumulation_steps
    # for DeepSpeed, accelerate launch sets it in the config
    if requested and int(requested) != present and not trainer.is_deepspeed_enabled:
        raise TrainingError(
            f"Trainer accumulates gradients over {present} batches, but {_ACCUMULATION} is "
            f"{requested}",
            f"Trainer ignores it: set gradient_accumulation_steps={requested} in TrainingArguments",
        )


def _check_nodes(trainer: Trainer, reference: int | None) -> None:
    if reference and reference != trainer.accelerator.num_processes:
        raise TrainingError(
            "slurm.nodes is a range, which a Trainer cannot use: this attempt has "
            f"{trainer.accelerator.num_processes} processes, but {reference} on the largest number "
            "of nodes",
            "set slurm.nodes to one number",
        )


def _restore_signal(trainer: Trainer) -> None:
    """Undo `enable_jit_checkpoint`, whose stop, 3 s after ours, looks like the end of training."""
    callback = trainer.pop_callback(JITCheckpointCallback)
    if callback:
        callback.on_train_end(trainer.args, trainer.state, trainer.control)
