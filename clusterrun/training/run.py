"""The object that a training script holds: where to begin, when to save, when to leave."""

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
    """One attempt of a run, seen from the training script; the same with clusterrun and without.

    Under clusterrun the job spec decides where checkpoints go, how often they are saved, and how
    many are kept. Otherwise checkpoints go to `<folder>/checkpoints`, `every` says how often
    (`90s`, `10min`, `2h`, `500 steps`, `auto`; None: never) and `keep` how many stay (None: all).
    With `async_save` training waits only until the state is copied into the host's memory.

    Raises TrainingError when the processes are not those that were asked for, when an interval
    cannot be read, and under clusterrun when the script has a TrainingRun already.
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
        self._main = main = bool(
            accelerator.is_main_process
        )  # accelerate looks it up anew each time
        self._attempt = attempt
        self._schedule = SaveSchedule(interval, Optimum(paths, lambda: self._state.saves.last))
        person = paths.stop if main else None
        self._stop = StopRequest(attempt.stop_file, person) if attempt else None
        self._losses = open_losses(attempt, main=main)
        self._agreement = Agreement(int(accelerator.num_processes))
        self._state = TrainingState(
            accelerator, self._agreement, paths, self.attempt, keep, async_save=async_save
        )
        self._state.share_steps(attempt.reference if attempt else None)
        self._order.save_below(paths.folder / "staging")
        self._trackers = Trackers(accelerator, paths.trackers)
        watched = paths.progress if attempt and main else None
        self._progress = Progress(
            watched, self._state.fenced, open_history(attempt, main=main), self._extra_progress
        )
        if attempt:
            dump_stacks_on_request(attempt.stop_file.parent, int(accelerator.process_index))

    @property
    def attempt(self) -> str | None:
        """The attempt of the run, four digits counted from 0001; None without clusterrun."""
        return self._attempt.name if self._attempt else None

    @mark_refusals()
    def resume(self) -> Position:
        """Load the newest verified checkpoint and return its position; step 0 if there is none.

        Call it on every rank, after `accelerator.prepare`. Raises TrainingError before that, and
        when the checkpoint was saved by a number of processes from which this one cannot go on
        exactly.
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

        In a later attempt each goes on with its run of the earlier ones; a run that `init_kwargs`
        names goes before it. Call it on every rank. Raises what the trackers raise, also when the
        run is no longer in their store.
        """
        self._trackers.init(project_name, config, init_kwargs or {})

    def must_not_restart(self, reason: str) -> NoReturn:
        """Say that no attempt of this run can get any further, and leave with exit code 93.

        Any rank may call it, at any time; the job script ends the others, and starts nothing again.
        Raises SystemExit.
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
        """Say that one more optimizer step is done; True: a stop was asked, all is saved, leave.

        Call it on every rank, once after each optimizer step, with `position` brought up to date.
        It saves when a checkpoint is due. A stop is obeyed one step after it was seen, on all ranks
        at the same step; where steps are short, the ranks look every few steps, four times a
        second.

        Those who watch the run are shown `total` (optimizer steps of the whole training), `loss`
        (of this step) and a rate in samples/s, for which `samples` counts this step's samples over
        all ranks. Raises TrainingError before `resume`, and amid gradient accumulation.
        """
        self._require_step_boundary()
        if not self._state.fenced():
            self._progress.update(position.step, total, loss, samples)
            self._losses.note(position.step, loss)
        agreed = self._agreement.exchange_at_pace(self._rank_request)
        return self._obey(agreed, position, due=self._schedule.due_at(position.step))

    @mark_refusals()
    def respond(self, position: Position) -> bool:
        """Save and leave as `step_done` does, amid long work between two steps; True: leave.

        Call it on every rank, equally often. The state must be the one at `position`.
        """
        self._require_step_boundary()
        self._progress.alive()
        return self._obey(self._agreement.exchange(self._rank_request), position, due=False)

    def finish(self, position: Position | None = None) -> None:
        """Say that training is complete; nobody starts it again. Call it on every rank, last.

        `position` is for a script that counts for itself in other objects than the one that
        `resume` returned.
        """
        place = self._resume_once()
        self._finish_batch(place)
        self._leave("finished", position or place)

    def _obey(self, agreed: RankRequest, position: Position, *, due: bool) -> bool:
        if agreed == RankRequest.FENCED:
            self._state.leave_fenced()
        if due or agreed != RankRequest.NOTHING:
            self._save(position, leaving=agreed == RankRequest.STOP)
        if agreed != RankRequest.STOP:
            return False
        self._leave("stopped", position)
        return True

    def _require_step_boundary(self) -> None:
        self._state.watch()
        if self._position is None:
            raise TrainingError(
                "step_done was called before resume", "call position = run.resume() before training"
            )
        if not self._accelerator.sync_gradients:
            raise TrainingError(
                "step_done was called amid gradient accumulation, where gradients cannot be saved",
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
        if self._main and not self._state.busy() and self._schedule.time_is_up():
            return RankRequest.SAVE
        return RankRequest.NOTHING

    def _save(self, position: Position, *, leaving: bool) -> None:
        with self._progress.during(Activity.SAVE):
            self._state.save(position, ended=self._ended == position.step, leaving=leaving)
        self._schedule.saved()

    def _leave(self, outcome: str, position: Position) -> None:
        self._progress.begin(Activity.END)
        self._state.settle()
        self._agreement.settle()
        self._accelerator.wait_for_everyone()
        self._state.leave_if_fenced()
        self._agreement.close()
        if self._attempt and self._main:
            self._progress.write()
            self._losses.write()
            write_marker(self._attempt.paths, self._attempt.name, outcome, self._outcome(position))
        self._log_line(f"{outcome} at step {position.step}")
        if outcome == "finished":
            self._state.tidy()

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
