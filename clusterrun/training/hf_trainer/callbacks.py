"""Trainer callbacks: save when due, exit on request, record the MLflow run; see trainer.py."""
# ruff: noqa: ARG002 - every event is called with the same arguments

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments
from transformers.trainer_callback import TrainerState

from clusterrun.training.hf_trainer.output_dir import log_line
from clusterrun.training.hf_trainer.session import TrainerSession, mark_trained
from clusterrun.training.loaders import list_order_warnings
from clusterrun.training.protocol import AttemptContext
from clusterrun.training.randomness import RandomState
from clusterrun.training.records.trackers import record_runs
from clusterrun.training.stopping.agreement import RankRequest
from clusterrun.training.stopping.patience import Activity


class StopCallback(TrainerSession, TrainerCallback):
    """Clusterrun's part in one Trainer's training.

    It must be the last callback, to see what the others want.
    """

    def __init__(self, trainer: Trainer, attempt: AttemptContext | None) -> None:
        super().__init__(trainer, attempt)
        self._reset(active=False)

    def _reset(self, *, active: bool) -> None:
        self._active, self._agreed = active, RankRequest.NOTHING
        self._save_is_ours = False  # the save that comes is clusterrun's wish alone
        self._leaving = False
        self._surplus_epoch: float | None = (
            None  # the epoch, where Trainer is about to make a step too many
        )
        self._evaluation_due = False
        self._before_evaluation: RandomState | None = None

    def move_to_the_end(self) -> None:
        """Be the last callback also where the script added some later; a training begins."""
        self._progress.begin(Activity.START)
        self._trainer.remove_callback(self)
        self._trainer.add_callback(self)

    def save(self, write: Callable[..., None], model: Any, trial: Any = None) -> None:
        """Let Trainer `write` a checkpoint as in _save_checkpoint, and seal it, on every rank."""
        if not self._active:
            write(model, trial)
            return
        facts: dict[str, object] = {
            "asked": self._save_is_ours,
            "evaluation_due": self._evaluation_due,
        }
        with self._progress.during(Activity.SAVE):
            self.state.save_trainer(partial(write, model, trial), self._position(), facts)
        self._save_is_ours = False
        self._agreed = RankRequest.NOTHING if self._agreed == RankRequest.SAVE else self._agreed
        self._schedule.saved()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Trainer has loaded its checkpoint."""
        self._reset(active=not state.is_hyper_param_search)
        atexit.unregister(mark_trained)  # of an earlier training in the same script
        if not self._active:
            self._progress.begin(Activity.OTHER)
            return
        self.state.note_loaded()
        if self._trainer.accelerator.is_main_process:
            for warning in list_order_warnings(self._trainer.accelerator):
                log_line(warning)
        self._schedule.saved()
        self._logged = state.global_step
        if self.state.newest and self.state.newest.evaluation_due:
            self._repeat_evaluation()
        if control.should_training_stop or state.global_step >= state.max_steps:
            self._surplus_epoch = state.epoch

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Before the first batch of an optimizer step."""
        self._before_evaluation = None
        if self._active:
            self._progress.alive()
        if (
            self._surplus_epoch is not None
        ):  # Trainer looks whether there is anything to train only after a step
            for group in more["optimizer"].param_groups:
                group["lr"] = 0.0

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """One batch of several that make an optimizer step is done."""
        self._progress.alive()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """An optimizer step is done."""
        if not self._active:
            return
        if self._surplus_epoch is not None:
            self._take_back_step(state, control)
            return
        if not self.state.fenced():
            self._progress.update(state.global_step, state.max_steps, self._loss, self._samples)
            self._losses.note(state.global_step, None)
        self._exchange_requests(
            self._agreement.exchange_at_pace, due=self._schedule.due_at(state.global_step)
        )
        # At an epoch's end on_epoch_end follows, at which callbacks want more: what is asked for
        # waits until then.
        ends_epoch = state.epoch == int(state.epoch)
        if not control.should_training_stop and (control.should_evaluate or not ends_epoch):
            self._obey(control)
        self._expect_evaluation(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """An epoch has ended, or was left."""
        if not self._active or self._surplus_epoch is not None:
            return
        self._progress.begin(Activity.EPOCH)
        if not control.should_training_stop:
            self._obey(control)
        self._expect_evaluation(control)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Check for a stop after a batch of an evaluation, if it is one of the training's own."""
        self._progress.alive()
        if self._before_evaluation is None:
            return
        self._exchange_requests(self._agreement.exchange, due=False)
        early = (
            control.should_training_stop and state.global_step < state.max_steps
        )  # a resume would train on
        if self._agreed == RankRequest.STOP and not early:
            self._leave_evaluation(self._before_evaluation)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Restore the random state after an evaluation, so that training is the same without it."""
        if self._before_evaluation:
            self._before_evaluation.restore()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Trainer has averaged the loss."""
        self._loss = (logs or {}).get("loss", self._loss)
        if self._active and not self.state.fenced():
            self._progress.update(state.global_step, state.max_steps, self._loss, None)
            if "loss" in (logs or {}):
                self._losses.note(state.global_step, self._loss, since=self._logged)
                self._logged = state.global_step

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """A checkpoint is sealed, or could not be saved."""
        if self._leaving:
            self._leave()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Finish the records; training is complete, but the script still has to save its model."""
        if not self._active:
            return
        self._active, self._before_evaluation = False, None
        self._agreement.settle()
        if self._attempt and self._trainer.accelerator.is_main_process:
            self._progress.write()
            self._losses.write()
            atexit.register(mark_trained, self._attempt, self._outcome())
        self._progress.begin(Activity.OTHER)

    def _obey(self, control: TrainerControl) -> None:
        if self._agreed == RankRequest.NOTHING:
            return
        if self._is_at_newest() and not control.should_save and not control.should_evaluate:
            if self._agreed == RankRequest.STOP:
                self._leave()
            self._agreed = RankRequest.NOTHING
            return
        self._save_is_ours = not control.should_save
        control.should_save = True
        if self._agreed == RankRequest.STOP:
            self._evaluation_due = control.should_evaluate
            control.should_evaluate = False
            self._leaving = True

    def _expect_evaluation(self, control: TrainerControl) -> None:
        if control.should_evaluate:
            self._progress.begin(Activity.EVALUATION)
            self._before_evaluation = RandomState.now(self._trainer.args.device)

    def _repeat_evaluation(self) -> None:
        trainer = self._trainer
        if trainer.accelerator.is_main_process:
            log_line(
                f"repeating the evaluation at step {trainer.state.global_step}, which was cut short"
            )
        self._before_evaluation = RandomState.now(trainer.args.device)
        metrics = trainer._evaluate(None, None)  # noqa: SLF001 - what Trainer does at a step that evaluates
        if trainer._determine_best_metric(metrics=metrics, trial=None):  # noqa: SLF001
            self.state.note_best()
        self._before_evaluation = None

    def _leave_evaluation(self, before: RandomState) -> NoReturn:
        before.restore()
        newest, model = self.state.newest, self._trainer.model
        if not (newest and self._is_at_newest() and newest.evaluation_due):
            self._save_is_ours = self._evaluation_due = True
            self._trainer._save_checkpoint(model, None)  # type: ignore[arg-type]  # noqa: SLF001
        self._leave()

    def _take_back_step(self, state: TrainerState, control: TrainerControl) -> None:
        state.global_step, state.epoch = state.global_step - 1, self._surplus_epoch or 0.0
        control.should_log = control.should_evaluate = control.should_save = False
        control.should_training_stop = True


class MLflowRecord(TrainerCallback):
    """Records the training's MLflow run in `record`; runs after Trainer's MLflowCallback.

    wandb and TensorBoard need nothing beyond what the job script sets: transformers reads it.
    """

    def __init__(self, record: Path) -> None:
        self._record = record

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """MLflowCallback has started the run."""
        mlflow = sys.modules.get("mlflow")
        run = mlflow.active_run() if mlflow and state.is_world_process_zero else None
        if run and not state.is_hyper_param_search:
            record_runs(self._record, {"mlflow": run.info.run_id})
