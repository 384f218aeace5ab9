"""The object that a training script holds: where to begin, when to save, when to leave."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat

from clusterrun.paths import RunPaths
from clusterrun.records import write_record

from .agreement import Agreement, Wish
from .checkpoint import Checkpoint, Checkpoints, Position
from .checks import check_accumulation, check_world, check_world_of_checkpoint
from .errors import TrainingError
from .interval import SaveSchedule, parse_interval
from .progress import Progress
from .protocol import read_protocol
from .stop import StopRequest

if TYPE_CHECKING:
    from accelerate import Accelerator


class TrainingRun:
    """One attempt of a run, seen from the training script; the same with clusterrun and without.

    Under clusterrun the job spec decides where checkpoints go, how often they are saved, and how
    many are kept. Otherwise checkpoints go to `<folder>/checkpoints`, `every` says how often
    (`90s`, `10min`, `2h`, `500 steps`; None: never) and `keep` how many stay (None: all).

    Raises TrainingError when the processes are not those that were asked for, or when an interval
    cannot be read.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        folder: str | os.PathLike[str],
        *,
        every: str | None = None,
        keep: int | None = None,
    ) -> None:
        attempt = read_protocol(os.environ)
        check_world(accelerator, os.environ, attempt.world_size if attempt else None)
        check_accumulation(accelerator, os.environ)
        if attempt:
            paths, interval, keep = attempt.paths, attempt.every, attempt.keep
        else:
            paths, interval = RunPaths(Path(folder)), parse_interval(every) if every else None
        main = accelerator.is_main_process
        self._accelerator = accelerator
        self._attempt = attempt
        self._checkpoints = Checkpoints(
            paths.checkpoints, paths.folder / "staging", int(attempt.name) if attempt else 1, keep
        )
        self._schedule = SaveSchedule(interval)
        person = paths.stop if main else None
        self._stop = StopRequest(attempt.stop_file, person) if attempt else None
        self._progress = Progress(paths.progress if attempt and main else None)
        self._agreement = Agreement(int(accelerator.num_processes))
        self._newest: Checkpoint | None = None
        self._resumed = False

    @property
    def attempt(self) -> str | None:
        """The attempt of the run, four digits counted from 0001; None without clusterrun."""
        return self._attempt.name if self._attempt else None

    def resume(self) -> Position:
        """Load the newest complete checkpoint and return its position; step 0 when there is none.

        Call it on every rank, after `accelerator.prepare`. Raises TrainingError when the checkpoint
        was saved by another number of processes.
        """
        main = self._accelerator.is_main_process
        # One rank looks: file servers may show different folders to different nodes for a while.
        newest = self._agreement.share(self._checkpoints.newest() if main else None)
        if newest is not None:
            present = int(self._accelerator.num_processes)
            check_world_of_checkpoint(newest.name, newest.world_size, present)
        if main:
            self._checkpoints.clear_staging()
        self._newest, self._resumed = newest, True
        if newest is None:
            self._say("no checkpoint yet, starting at step 0")
            return Position()
        self._accelerator.load_state(str(newest.path))
        position = Position(newest.step, newest.epoch, newest.batch)
        self._say(f"resumed from {newest.name}: epoch {newest.epoch}, batch {newest.batch}")
        self._schedule.saved()
        return position

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
        at the same step.

        Those who watch the run are shown `total` (optimizer steps of the whole training), `loss`
        (of this step) and a rate in samples/s, for which `samples` counts this step's samples over
        all ranks. Raises TrainingError before `resume`, and amid gradient accumulation.
        """
        self._check_boundary()
        self._progress.update(position.step, total, loss, samples)
        agreed = self._agreement.exchange(self._wish())
        if agreed != Wish.NOTHING or self._schedule.due_at(position.step):
            self._save(position)
        if agreed != Wish.STOP:
            return False
        self._leave("stopped", position)
        return True

    def finish(self, position: Position) -> None:
        """Say that training is complete; nobody starts it again. Call it on every rank, last."""
        self._leave("finished", position)

    def _check_boundary(self) -> None:
        if not self._resumed:
            raise TrainingError("step_done was called before resume", "call position = run.resume() before training")
        if not self._accelerator.sync_gradients:
            raise TrainingError(
                "step_done was called amid gradient accumulation, where gradients cannot be saved",
                "call it only when accelerator.sync_gradients is true",
            )

    def _wish(self) -> Wish:
        if self._stop and self._stop.heard():
            return Wish.STOP
        if self._accelerator.is_main_process and self._schedule.time_is_up():
            return Wish.SAVE
        return Wish.NOTHING

    def _save(self, position: Position) -> None:
        if self._newest is None or self._newest.step != position.step:
            self._newest = self._checkpoints.save(self._accelerator, position)
            self._say(f"saved {self._newest.name}")
        self._schedule.saved()

    def _leave(self, outcome: str, position: Position) -> None:
        self._agreement.settle()
        self._accelerator.wait_for_everyone()
        if self._attempt and self._accelerator.is_main_process:
            self._progress.write()
            marker = self._attempt.paths.events / f"attempt-{self._attempt.name}.trainer"
            write_record(marker, self._outcome(outcome, position))
        self._say(f"{outcome} at step {position.step}")

    def _outcome(self, outcome: str, position: Position) -> dict[str, object]:
        return {
            "outcome": outcome,
            "step": position.step,
            "epoch": position.epoch,
            "checkpoint": self._newest.name if self._newest else "",
        }

    def _say(self, text: str) -> None:
        if self._accelerator.is_main_process:
            sys.stderr.write(f"clusterrun: {text}\n")
            sys.stderr.flush()
