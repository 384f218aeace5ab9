"""An attempt of a run, as seen from a Trainer: its state, records, and the ranks' requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from transformers import Trainer

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.training.checkpointing.interval import SaveSchedule
from clusterrun.training.checkpointing.optimum import Optimum
from clusterrun.training.checkpointing.store import Position
from clusterrun.training.hf_trainer.output_dir import log_line
from clusterrun.training.hf_trainer.state import OutputDirState
from clusterrun.training.loaders import loader_length
from clusterrun.training.protocol import AttemptContext
from clusterrun.training.records.events import EXIT_NO_RESTART, write_marker
from clusterrun.training.records.history import learning_rate, open_history
from clusterrun.training.records.losses import open_losses
from clusterrun.training.records.progress import Progress
from clusterrun.training.stopping.agreement import Agreement, RankRequest
from clusterrun.training.stopping.patience import Activity
from clusterrun.training.stopping.requests import StopRequest, dump_stacks_on_request


class TrainerSession:
    """Connects a Trainer to its run: requests, progress, records and exit."""

    def __init__(self, trainer: Trainer, attempt: AttemptContext | None) -> None:
        main, processes = (
            trainer.accelerator.is_main_process,
            int(trainer.accelerator.num_processes),
        )
        name, keep, paths = (
            (attempt.name, attempt.keep, attempt.paths) if attempt else (None, None, None)
        )
        self._trainer, self._attempt = trainer, attempt
        self._agreement = Agreement(processes)
        self.state = OutputDirState(trainer, self._agreement, paths, name, keep)
        if attempt and attempt.stops_on_nan:
            self.state.skip_nan()
        optimum = Optimum(paths or RunPaths(Path()), lambda: self.state.saves.last)
        self._schedule = SaveSchedule(attempt.every if attempt else None, optimum)
        self._stop = (
            StopRequest(attempt.stop_file, attempt.paths.stop if main else None)
            if attempt
            else None
        )
        progress_file = attempt.paths.progress if attempt and main else None
        self._progress = Progress(
            progress_file, self.state.fenced, open_history(attempt, main=main), self._extra_progress
        )
        self._losses, self._logged = open_losses(attempt, main=main), 0
        if attempt:
            dump_stacks_on_request(attempt.stop_file.parent, int(trainer.accelerator.process_index))
        self._samples = (
            trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps * processes
        )
        self._loss: float | None = None
        self._active = False  # during training, but not in a hyperparameter search
        self._agreed = RankRequest.NOTHING  # what all ranks have agreed on, until it is done

    def _exchange_requests(
        self, exchange: Callable[[Callable[[], RankRequest]], RankRequest], *, due: bool
    ) -> None:
        if self._attempt is None:
            return
        agreed = exchange(self._rank_request)
        if agreed == RankRequest.FENCED:
            self.state.exit_fenced()
        self._agreed = max(self._agreed, agreed, RankRequest.SAVE if due else RankRequest.NOTHING)

    def _rank_request(self) -> RankRequest:
        if self.state.fenced():
            return RankRequest.FENCED
        if self._stop and self._stop.requested():
            return RankRequest.STOP
        if self._trainer.accelerator.is_main_process and self._schedule.time_is_up():
            return RankRequest.SAVE
        return RankRequest.NOTHING

    def _exit(self) -> NoReturn:
        self._progress.begin(Activity.END)
        self._agreement.settle()
        self._trainer.accelerator.wait_for_everyone()
        self.state.exit_if_fenced()
        self._agreement.close()
        if self._trainer.accelerator.is_main_process and self._attempt:
            self._progress.write()
            self._losses.write()
            write_marker(self._attempt.paths, self._attempt.name, "stopped", self._outcome())
            log_line(f"stopped at step {self._trainer.state.global_step}")
        raise SystemExit(0)

    def _exit_if_nan(self) -> None:
        """End the run for good if the spec says so and the loss is no longer finite."""
        nan = self._progress.lasting_nan()
        if nan and self._attempt and self._attempt.stops_on_nan:
            outcome = {**self._outcome(), "reason": nan}
            write_marker(self._attempt.paths, self._attempt.name, "no-restart", outcome)
            log_line(f"must not be restarted: {nan}")
            raise SystemExit(EXIT_NO_RESTART)

    def _step_of_run(self, step: int) -> int:
        """Return a step of this training as a step of the run, which may have several."""
        return self.state.earlier_steps + step

    def _output_dir(self) -> Path:
        return Path(self._trainer.args.output_dir or ".").absolute()

    def _is_at_newest(self) -> bool:
        newest = self.state.newest
        return newest is not None and newest.step == self._trainer.state.global_step

    def _position(self) -> Position:
        state = self._trainer.state
        epoch = int(state.epoch)
        loader: Any = self._trainer.callback_handler.train_dataloader
        batches = loader_length(loader) or 0
        return Position(state.global_step, epoch, round((state.epoch - epoch) * batches))

    def _extra_progress(self, step: int) -> dict[str, object]:
        return {
            "learning_rate": learning_rate(self._trainer.accelerator),
            **self._schedule.next_save(step),
        }

    def _outcome(self) -> dict[str, object]:
        newest, place = self.state.newest, self._position()
        return {
            "step": self._step_of_run(place.step),
            "epoch": place.epoch,
            "checkpoint": newest.name if newest else "",
        }


def mark_trained(attempt: AttemptContext, outcome: Mapping[str, object]) -> None:
    """Mark the run trained when its script ends; atexit calls this, even after an error.

    Only the job script knows the exit code, and decides whether `trained` means finished.
    """
    failed = getattr(sys, "last_type", None) is not None
    if not failed and not read_record(attempt.paths.trainer(attempt.name)):
        write_marker(attempt.paths, attempt.name, "trained", outcome)
        log_line(f"finished at step {outcome['step']}")
