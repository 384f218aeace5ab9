"""Trainer callbacks: save when due, exit on request, record the MLflow run; see trainer.py."""
# ruff: noqa: ARG002 - all events have the same arguments

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments
from transformers.trainer_callback import TrainerState

from clusterrun.training.hf_trainer.logged_metrics import select_metrics
from clusterrun.training.hf_trainer.output_dir import log_line
from clusterrun.training.hf_trainer.session import TrainerSession, mark_trained
from clusterrun.training.hf_trainer.several_trainings import begin_training, end_training
from clusterrun.training.loaders import list_order_warnings
from clusterrun.training.protocol import AttemptContext
from clusterrun.training.randomness import RandomState
from clusterrun.training.records.loss_health import read_loss
from clusterrun.training.records.trackers import record_runs
from clusterrun.training.stopping.agreement import RankRequest
from clusterrun.training.stopping.patience import Activity


class StopCallback(TrainerSession, TrainerCallback):
    """Saves and exits on request during a Trainer's training.

    It must be the last callback, to see the requests of the others.
    """

    def __init__(self, trainer: Trainer, attempt: AttemptContext | None) -> None:
        super().__init__(trainer, attempt)
        self._reset(active=False)

    def _reset(self, *, active: bool) -> None:
        self._active, self._agreed = active, RankRequest.NOTHING
        self._save_is_ours = False  # only clusterrun requested the next save, not Trainer
        self._exits_after_save = False
        # the epoch if Trainer is about to make a step too many
        self._surplus_epoch: float | None = None
        self._evaluation_due = False
        self._before_evaluation: RandomState | None = None

    def begin(self, *, continues: bool) -> None:
        """Begin a training: become the last callback, after those that the script added.

        `continues`: the script requests the newest checkpoint. Raises TrainingError if an earlier
        training of the script used the output_dir, unless this one continues it.
        """
        self.state.earlier_steps = begin_training(
            self._attempt, self._output_dir(), continues=continues
        )
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
        self.state.note_loss(self._loss)
        with self._progress.during(Activity.SAVE):
            self.state.save_trainer(partial(write, model, trial), self._position(), facts)
        self._save_is_ours = False
        self._agreed = RankRequest.NOTHING if self._agreed == RankRequest.SAVE else self._agreed
        self._schedule.saved()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Record the resume after Trainer has loaded its checkpoint."""
        self._reset(active=not state.is_hyper_param_search)
        atexit.unregister(mark_trained)  # from an earlier training in the same script
        if not self._active:
            self._progress.begin(Activity.OTHER)
            return
        self.state.note_loaded()
        if self._trainer.accelerator.is_main_process:
            for warning in list_order_warnings(self._trainer.accelerator):
                log_line(warning)
        self._schedule.saved()
        self._logged = self._step_of_run(state.global_step)
        if self.state.newest and self.state.newest.evaluation_due:
            self._repeat_evaluation()
        if control.should_training_stop or state.global_step >= state.max_steps:
            self._surplus_epoch = state.epoch

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Note progress before the first batch of an optimizer step."""
        self._before_evaluation = None
        if self._active:
            self._progress.alive()
        # Trainer checks only after a step whether training is complete
        if self._surplus_epoch is not None:
            for group in more["optimizer"].param_groups:
                group["lr"] = 0.0

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Note progress after one of the batches of an optimizer step."""
        self._progress.alive()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Record an optimizer step, and exchange requests."""
        if not self._active:
            return
        if self._surplus_epoch is not None:
            self._undo_step(state, control)
            return
        if not self.state.fenced():
            self._report(state, self._samples)
            self._exit_if_nan()
            self._losses.note(self._step_of_run(state.global_step), None)
        self._exchange_requests(
            self._agreement.exchange_at_pace, due=self._schedule.due_at(state.global_step)
        )
        # At the end of an epoch, requests wait for on_epoch_end, in which callbacks may request
        # more.
        ends_epoch = state.epoch == int(state.epoch)
        if not control.should_training_stop and (control.should_evaluate or not ends_epoch):
            self._act_on_request(control)
        self._expect_evaluation(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Act on requests at the end of an epoch, complete or not."""
        if not self._active or self._surplus_epoch is not None:
            return
        self._progress.begin(Activity.EPOCH)
        if not control.should_training_stop:
            self._act_on_request(control)
        self._expect_evaluation(control)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Check for a stop after a batch of an evaluation that belongs to training."""
        self._progress.alive()
        if self._before_evaluation is None:
            return
        self._exchange_requests(self._agreement.exchange, due=False)
        # if training was stopped early, a resume would continue it
        is_early_stop = control.should_training_stop and state.global_step < state.max_steps
        if self._agreed == RankRequest.STOP and not is_early_stop:
            self._exit_evaluation(self._before_evaluation)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Restore the random state, so that training does not depend on evaluations."""
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
        """Record the mean loss that Trainer logs."""
        self._loss = read_loss(logs or {}, self._loss)
        step = self._step_of_run(state.global_step)
        if not state.is_hyper_param_search and not self.state.fenced():
            self._progress.note_metrics(step, select_metrics(logs or {}))
        if self._active and not self.state.fenced():
            self._report(state, None)
            if "loss" in (logs or {}):
                self._losses.note(step, self._loss, since=self._logged)
                self._logged = step

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Exit after the save on a stop, whether it succeeded or not."""
        if self._exits_after_save:
            self._exit()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Finish the records; training is complete, but the script still has to save its model."""
        if not self._active:
            return
        self._active, self._before_evaluation = False, None
        end_training(self._attempt, self._output_dir(), state.global_step)
        self._agreement.settle()
        if self._attempt and self._trainer.accelerator.is_main_process:
            self._progress.write()
            self._losses.write()
            atexit.register(mark_trained, self._attempt, self._outcome())
        self._progress.begin(Activity.OTHER)

    def _report(self, state: TrainerState, samples: int | None) -> None:
        step, total = map(self._step_of_run, (state.global_step, state.max_steps))
        self._progress.update(step, total, self._loss, samples)

    def _act_on_request(self, control: TrainerControl) -> None:
        if self._agreed == RankRequest.NOTHING:
            return
        if self._is_at_newest() and not control.should_save and not control.should_evaluate:
            if self._agreed == RankRequest.STOP:
                self._exit()
            self._agreed = RankRequest.NOTHING
            return
        self._save_is_ours = not control.should_save
        control.should_save = True
        if self._agreed == RankRequest.STOP:
            self._evaluation_due = control.should_evaluate
            control.should_evaluate = False
            self._exits_after_save = True

    def _expect_evaluation(self, control: TrainerControl) -> None:
        if control.should_evaluate:
            self._progress.begin(Activity.EVALUATION)
            self._before_evaluation = RandomState.now(self._trainer.args.device)

    def _repeat_evaluation(self) -> None:
        trainer = self._trainer
        if trainer.accelerator.is_main_process:
            log_line(
                f"repeating the evaluation at step {trainer.state.global_step}, which was "
                "interrupted"
            )
        self._before_evaluation = RandomState.now(trainer.args.device)
        metrics = trainer._evaluate(None, None)  # noqa: SLF001 - as Trainer does at a step with an evaluation
        if trainer._determine_best_metric(metrics=metrics, trial=None):  # noqa: SLF001
            self.state.note_best()
        self._before_evaluation = None

    def _exit_evaluation(self, before: RandomState) -> NoReturn:
        before.restore()
        newest, model = self.state.newest, self._trainer.model
        if not (newest and self._is_at_newest() and newest.evaluation_due):
            self._save_is_ours = self._evaluation_due = True
            self._trainer._save_checkpoint(model, None)  # type: ignore[arg-type]  # noqa: SLF001
        self._exit()

    def _undo_step(self, state: TrainerState, control: TrainerControl) -> None:
        state.global_step, state.epoch = state.global_step - 1, self._surplus_epoch or 0.0
        control.should_log = control.should_evaluate = control.should_save = False
        control.should_training_stop = True


class MLflowRecord(TrainerCallback):
    """Records the MLflow run of training in `record`; runs after Trainer's MLflowCallback.

    For wandb and TensorBoard the variables of the job script suffice, which transformers reads.
    """

    def __init__(self, record: Path) -> None:
        self._record = record

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Record the run that MLflowCallback has started."""
        mlflow = sys.modules.get("mlflow")
        run = mlflow.active_run() if mlflow and state.is_world_process_zero else None
        if run and not state.is_hyper_param_search:
            record_runs(self._record, {"mlflow": run.info.run_id})
