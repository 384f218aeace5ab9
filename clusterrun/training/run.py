"""The run as a training script sees it: where to resume, when to save, when to exit."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, SupportsFloat

from clusterrun.errors import TrainingError
from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.checkpointing.interval import SaveSchedule, parse_interval
from clusterrun.training.checkpointing.optimum import Optimum
from clusterrun.training.checkpointing.store import Position
from clusterrun.training.checks import check_accumulation, check_naming, check_prepared, check_world
from clusterrun.training.loop import Loop
from clusterrun.training.protocol import AttemptContext, read_protocol
from clusterrun.training.records.events import EXIT_NO_RESTART, mark_refusals, write_marker
from clusterrun.training.records.history import learning_rate, open_history
from clusterrun.training.records.losses import open_losses
from clusterrun.training.records.progress import Progress
from clusterrun.training.records.trackers import Trackers
from clusterrun.training.state import TrainingState
from clusterrun.training.stopping.agreement import Agreement, RankRequest
from clusterrun.training.stopping.patience import Activity
from clusterrun.training.stopping.requests import StopRequest, dump_stacks_on_request

if TYPE_CHECKING:
    from accelerate import Accelerator


_claimed: set[tuple[Path, str]] = set()  # the attempts of this process's TrainingRuns


def _claim(attempt: AttemptContext) -> None:
    """Raise TrainingError if the script has a TrainingRun already."""
    claim = attempt.paths.folder, attempt.name
    if claim in _claimed:
        raise TrainingError(
            "the script makes a second TrainingRun: under clusterrun it would load the checkpoints "
            "of the first one",
            "submit each training as a run of its own, for example as the tasks of slurm.array",
        )
    _claimed.add(claim)


class TrainingRun(Loop):
    """An attempt of a run, as the training script sees it; with or without clusterrun.

    With clusterrun the job spec decides where checkpoints are saved, how often, and how many are
    kept. Without it, checkpoints are saved to `<folder>/checkpoints` at the interval `every`
    (`90s`, `10min`, `2h`, `500 steps`, `auto`; None: never), and `keep` of them are kept (None:
    all). With `async_save` training waits only until the state is copied to host memory.

    Raises TrainingError if the number of processes is not the requested one, if an interval is not
    valid, and under clusterrun if the script has a TrainingRun already.
    """

    @mark_refusals()
    def __init__(
        self,
        accelerator: Accelerator,
        folder: str | os.PathLike[str],
        *,
        every: str | None = None,
        keep: int | None = None,
        async_save: bool = False,
    ) -> None:
        super().__init__(accelerator)
        attempt = read_protocol(os.environ)
        check_world(accelerator, os.environ, attempt.world_size if attempt else None)
        check_accumulation(accelerator, os.environ)
        check_naming(accelerator)
        if attempt:
            _claim(attempt)
            paths, interval, keep = attempt.paths, attempt.every, attempt.keep
            async_save = attempt.async_save
        else:
            paths, interval = RunPaths(Path(folder)), parse_interval(every) if every else None
        self._main = main = bool(accelerator.is_main_process)  # accelerate recomputes it each time
        self._attempt = attempt
        self._schedule = SaveSchedule(interval, Optimum(paths, lambda: self._state.saves.last))
        person_file = paths.stop if main else None
        self._stop = StopRequest(attempt.stop_file, person_file) if attempt else None
        self._losses = open_losses(attempt, main=main)
        self._agreement = Agreement(int(accelerator.num_processes))
        self._state = TrainingState(
            accelerator, self._agreement, paths, self.attempt, keep, async_save=async_save
        )
        if attempt and attempt.stops_on_nan:
            self._state.skip_nan()
        self._state.share_steps(attempt.reference if attempt else None)
        self._order.save_below(paths.folder / "staging")
        self._trackers = Trackers(accelerator, paths.trackers)
        progress_file = paths.progress if attempt and main else None
        self._progress = Progress(
            progress_file,
            self._state.fenced,
            open_history(attempt, main=main),
            self._extra_progress,
        )
        if attempt:
            dump_stacks_on_request(attempt.stop_file.parent, int(accelerator.process_index))

    @property
    def attempt(self) -> str | None:
        """The attempt of the run as four digits, starting from 0001; None without clusterrun."""
        return self._attempt.name if self._attempt else None

    @mark_refusals()
    def resume(self) -> Position:
        """Load the newest verified checkpoint and return its position; step 0 without one.

        Call it on every rank, after `accelerator.prepare`. Raises TrainingError before that, and if
        training cannot resume exactly with this number of processes.
        """
        check_prepared(self._accelerator)
        self._progress.begin(Activity.START)
        self._position = self._state.resume()
        if self._state.newest:
            self._order.load(self._state.newest.path)
        self._schedule.saved()
        self._warn()
        return self._position

    def init_trackers(
        self,
        project_name: str,
        config: dict[str, Any] | None = None,
        init_kwargs: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        """Start the trackers of `Accelerator(log_with=...)`, as `accelerator.init_trackers` does.

        In a later attempt each tracker continues its run; a run in `init_kwargs` has precedence.
        Call it on every rank. Raises the errors of the trackers, also if a run is no longer in
        their store.
        """
        self._trackers.init(project_name, config, init_kwargs or {})

    def must_not_restart(self, reason: str) -> NoReturn:
        """Declare that the run must not be restarted, and exit with code 93.

        Any rank may call it at any time; the job script ends the other ranks and does not restart
        the run. Raises SystemExit.
        """
        newest = self._state.newest
        known = (
            {"step": newest.step, "epoch": newest.epoch, "checkpoint": newest.name}
            if newest
            else {}
        )
        if self._attempt:
            write_marker(
                self._attempt.paths, self._attempt.name, "no-restart", {**known, "reason": reason}
            )
        sys.stderr.write(f"clusterrun: must not be restarted: {reason}\n")
        raise SystemExit(EXIT_NO_RESTART)

    @mark_refusals()
    def step_done(
        self,
        position: Position,
        *,
        total: int | None = None,
        loss: SupportsFloat | None = None,
        samples: int | None = None,
    ) -> bool:
        """Report a completed optimizer step; return True if the script must exit after a stop.

        Call it on every rank, once after each optimizer step, with an updated `position`. It saves
        when a checkpoint is due. A stop takes effect one step after it was requested, at the same
        step on all ranks; if steps are short, the ranks check every few steps, four times a second.

        `status` shows `total` (optimizer steps of the whole training), `loss` (of this step) and a
        rate in samples/s, which is computed from `samples`, this step's samples over all ranks.
        Raises TrainingError before `resume` and during gradient accumulation.
        """
        self._require_step_boundary()
        if not self._state.fenced():
            self._progress.update(position.step, total, loss, samples)
            self._losses.note(position.step, loss)
        self._state.note_loss(loss)
        nan = self._progress.lasting_nan()
        if nan and self._attempt and self._attempt.stops_on_nan:
            self.must_not_restart(nan)
        agreed = self._agreement.exchange_at_pace(self._rank_request)
        return self._act_on(agreed, position, due=self._schedule.due_at(position.step))

    @mark_refusals()
    def respond(self, position: Position) -> bool:
        """Handle requests as `step_done` does, during long work between two steps.

        Return True if the script must exit. Call it on every rank, equally often. The state must be
        that of `position`.
        """
        self._require_step_boundary()
        self._progress.alive()
        return self._act_on(self._agreement.exchange(self._rank_request), position, due=False)

    def finish(self, position: Position | None = None) -> None:
        """Report that training is complete, so that the run ends. Call it last, on every rank.

        Pass `position` if the script counts in another object than the one that `resume` returned.
        """
        place = self._resume_once()
        self._finish_batch(place)
        self._end("finished", position or place)

    def _act_on(self, agreed: RankRequest, position: Position, *, due: bool) -> bool:
        if agreed == RankRequest.FENCED:
            self._state.exit_fenced()
        if due or agreed != RankRequest.NOTHING:
            self._save(position, exiting=agreed == RankRequest.STOP)
        if agreed != RankRequest.STOP:
            return False
        self._end("stopped", position)
        return True

    def _require_step_boundary(self) -> None:
        self._state.raise_save_error()
        if self._position is None:
            raise TrainingError(
                "step_done was called before resume", "call position = run.resume() before training"
            )
        if not self._accelerator.sync_gradients:
            raise TrainingError(
                "step_done was called during gradient accumulation, when gradients cannot be saved",
                "call it only when accelerator.sync_gradients is true",
            )

    def _check_loader(self, loader: Iterable[Any], steps: int) -> None:
        self._state.sharing.check_loader(loader, steps)

    def _least_of_ranks(self, number: int) -> int:
        return self._agreement.least(number)

    def _rank_request(self) -> RankRequest:
        if self._state.fenced():
            return RankRequest.FENCED
        if self._stop and self._stop.requested():
            return RankRequest.STOP
        if self._main and not self._state.is_saving() and self._schedule.time_is_up():
            return RankRequest.SAVE
        return RankRequest.NOTHING

    def _save(self, position: Position, *, exiting: bool) -> None:
        with self._progress.during(Activity.SAVE):
            epoch_ended = self._epoch_end_step == position.step
            self._state.save(position, epoch_ended=epoch_ended, exiting=exiting)
        self._schedule.saved()

    def _end(self, outcome: str, position: Position) -> None:
        self._progress.begin(Activity.END)
        self._state.finish_save()
        self._agreement.settle()
        self._accelerator.wait_for_everyone()
        self._state.exit_if_fenced()
        self._agreement.close()
        if self._attempt and self._main:
            self._progress.write()
            self._losses.write()
            write_marker(self._attempt.paths, self._attempt.name, outcome, self._outcome(position))
        self._log_line(f"{outcome} at step {position.step}")
        if outcome == "finished":
            self._state.finish_removal()

    def _outcome(self, position: Position) -> dict[str, object]:
        newest = self._state.newest
        return {
            "step": position.step,
            "epoch": position.epoch,
            "checkpoint": newest.name if newest else "",
        }

    def _extra_progress(self, step: int) -> dict[str, object]:
        return {"learning_rate": learning_rate(self._accelerator), **self._schedule.next_save(step)}

    def _log_line(self, text: str) -> None:
        if self._main:
            sys.stderr.write(f"clusterrun: {text}\n")
            sys.stderr.flush()
