"""The training state: loaded at the start of an attempt, and saved during it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn, SupportsFloat, TypeVar

from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.checkpointing.async_saving import AsyncSaver, Note, why_synchronous
from clusterrun.training.checkpointing.saves import Saves
from clusterrun.training.checkpointing.saving import SaveFailed, Saver
from clusterrun.training.checkpointing.shared_state import SharedState
from clusterrun.training.checkpointing.store import Checkpoints, Position, StoredCheckpoint
from clusterrun.training.records.events import find_crashed_resumes, write_resume
from clusterrun.training.resharding.sharing import Sharing
from clusterrun.training.stopping.agreement import Agreement
from clusterrun.training.stopping.fence import Fence, Fenced

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class TrainingState:
    """An Accelerator's state, saved below a run folder; all ranks must make the same calls.

    `attempt` is four digits, or None without clusterrun: then only checkpoints are written. `keep`
    is the number of checkpoints to keep, None for all. With `async_save` checkpoints are written in
    the background if possible.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        agreement: Agreement,
        paths: RunPaths,
        attempt: str | None,
        keep: int | None,
        *,
        async_save: bool = False,
    ) -> None:
        self._accelerator, self._agreement, self._paths = accelerator, agreement, paths
        self._main = bool(accelerator.is_main_process)
        self._attempt = attempt if self._main else None  # the other ranks write no records
        number = int(attempt) if attempt else 1
        self._checkpoints = Checkpoints(paths.checkpoints, paths.folder / "staging", number, keep)
        self._fence = Fence(paths.current if self._attempt else None, number)
        obstacle = why_synchronous(accelerator) if async_save else None
        if obstacle:
            self._log_line(f"warning: saving synchronously: {obstacle}")
        parts = accelerator, agreement, self._checkpoints, self._fence
        self._background = AsyncSaver(*parts) if async_save and not obstacle else None
        self._saver: Saver = self._background or Saver(*parts)
        self.saves = Saves(paths.saves if self._attempt else None)
        self.sharing = Sharing(accelerator)
        self._shared_state = SharedState(accelerator, agreement)
        self.newest: StoredCheckpoint | None = None  # the checkpoint loaded, or saved last
        self.earlier_steps = 0  # of complete trainings of this run, before the present one

    def share_steps(self, reference: int | None) -> None:
        """Divide steps among the ranks as the newest checkpoint did; record it in later ones.

        Call it on every rank. `reference` is as in `Sharing.begin_as`, which raises TrainingError.
        """
        self._saver.sharing = self.sharing
        self.sharing.begin_as(
            self._agreement.share(self._checkpoints.latest() if self._main else None), reference
        )

    def resume(self) -> Position:
        """Load the newest verified checkpoint and return its position; step 0 without one.

        Raises TrainingError if training cannot resume exactly with this number of processes, and
        SystemExit if another attempt has taken over; nothing is written before that.
        """
        # One rank decides: for a while, file servers may show different folders to different nodes.
        newest = self._agreement.share(self._find_checkpoint() if self._main else None)
        self.exit_if_fenced()
        if newest:
            self.sharing.check(newest, newest.strategy)
            self._saver.expect(newest.size)
        if self._main:
            self._checkpoints.clear_staging()
        self.newest = newest
        position = self._load(newest) if newest else Position()
        self._agreement.gather(None)  # the resume is complete only when all ranks have loaded
        self._record_resume(newest, loaded=True)
        self._log_line(
            f"resumed from {newest.name}: {_describe_position(newest)}"
            if newest
            else "no checkpoint yet, starting at step 0"
        )
        note = self.sharing.note(newest) if newest else None
        if note:
            self._log_line(note)
        return position

    def note_loss(self, loss: SupportsFloat | None) -> None:
        """Note the loss of the newest step: a checkpoint records whether it is finite."""
        self._saver.loss = loss

    def skip_nan(self) -> None:
        """Resume from no checkpoint whose loss was not finite."""
        self._checkpoints.skips_nan = True

    def save(self, position: Position, *, epoch_ended: bool = False, exiting: bool = False) -> None:
        """Save a checkpoint; if this step has one, record in it that its epoch has ended.

        If the disk fails, a warning is logged, and `newest` is unchanged. The save may continue in
        the background, unless the process is `exiting`. Raises SystemExit if another attempt has
        taken over.
        """
        if not exiting and self._is_being_saved(position, epoch_ended=epoch_ended):
            return
        self.finish_save()
        newest = self.newest
        if newest is None or newest.step != position.step:
            self._save(position, exiting=exiting)
            return
        # One rank decides: a rank without a progress bar may not know yet that the epoch ended.
        batch = self._agreement.share(
            _last_batch(newest.epoch, position) if epoch_ended else newest.batch
        )
        if batch == newest.batch:
            return
        if newest.attempt != self._checkpoints.attempt:
            self._save(position, exiting=exiting)
        elif self._save_as_newest(
            lambda: self._log_failure(position, lambda: self._saver.move(newest, batch))
        ):
            self._log_line(f"{newest.name} is now at the end of epoch {newest.epoch}")

    def finish_save(self) -> None:
        """Wait for a save in progress. Call it on every rank. Raises SystemExit as `save` does."""
        if self._background and self._background.in_progress:
            if self._background.is_writing():
                self._log_line(
                    f"waiting for the save of step {self._background.in_progress.step}, which is "
                    "still being written"
                )
            self._save_as_newest(self._background.collect)

    def is_saving(self) -> bool:
        """Return whether this rank is still writing a checkpoint."""
        return self._background is not None and self._background.is_writing()

    def raise_save_error(self) -> None:
        """Raise the error of a save in progress, unless `finish_save` handles it."""
        error = self._background.failed_with() if self._background else None
        if error is not None and not isinstance(error, (SaveFailed, Fenced)):
            raise error

    def finish_removal(self) -> None:
        """Wait for the removal of old checkpoints: after the last attempt nobody cleans up."""
        self._checkpoints.finish_removal()

    def fenced(self) -> bool:
        """Return whether another attempt took over; the main process checks every few seconds."""
        return self._fence.is_fenced()

    def exit_if_fenced(self) -> None:
        """Exit if another attempt took over. Call it on every rank. Raises SystemExit."""
        if self._agreement.share(self._fence.is_fenced(now=True)):
            self.exit_fenced()

    def exit_fenced(self) -> NoReturn:
        """Exit with code 1 without writing, on every rank, because none can train alone."""
        self._log_line("another attempt of this run has taken over; exiting without saving")
        self._agreement.close()
        raise SystemExit(1)

    def _is_being_saved(self, position: Position, *, epoch_ended: bool) -> bool:
        """Return whether a save in progress is of this step, with the end of its epoch."""
        place = self._background.in_progress if self._background else None
        if place is None or place.step != position.step:
            return False
        return not self._agreement.share(
            epoch_ended and _last_batch(place.epoch, position) != place.batch
        )

    def _save(self, position: Position, *, exiting: bool) -> None:
        warning = self._shared_state.find_difference()
        if warning:
            self._log_line(warning)
        note = partial(self._log_save, replace(position), time.monotonic())
        if self._background and not exiting:
            self._start_in_background(self._background, position, note)
        else:
            self._save_as_newest(lambda: note(lambda: self._saver.save(position)))

    def _start_in_background(self, background: AsyncSaver, position: Position, note: Note) -> None:
        try:
            is_started = self._log_failure(position, lambda: background.begin(position, note))
        except SaveFailed:
            return
        except Fenced:
            self.exit_fenced()
        if not is_started:
            self.finish_save()

    def _log_save(
        self,
        position: Position,
        start: float,
        write: Callable[[], StoredCheckpoint],
        stall: float | None = None,
    ) -> StoredCheckpoint:
        """Write a checkpoint; log and record the result."""
        saved = self._log_failure(position, write)
        with suppress(OSError):  # the checkpoint exists; only the record of its duration is lost
            step = position.step + self.earlier_steps
            self.saves.published(saved.name, step, time.monotonic() - start, stall)
        self._log_line(f"saved {saved.name}")
        return saved

    def _log_failure(self, position: Position, write: Callable[[], T]) -> T:
        try:
            return write()
        except SaveFailed as failure:
            self._record_failure(position, str(failure))
            raise

    def _save_as_newest(self, write: Callable[[], StoredCheckpoint]) -> StoredCheckpoint | None:
        try:
            self.newest = write()
        except SaveFailed:  # it has been logged
            return None
        except Fenced:
            self.exit_fenced()
        return self.newest

    def _find_checkpoint(self) -> StoredCheckpoint | None:
        return self._checkpoints.newest(
            find_crashed_resumes(self._paths, self._attempt) if self._attempt else None
        )

    def _load(self, newest: StoredCheckpoint) -> Position:
        self._record_resume(newest, loaded=False)
        self.sharing.load(newest, self._paths.folder / "staging", self._wait_for_ranks)
        return self.sharing.loaded(newest)

    def _wait_for_ranks(self) -> None:
        self._agreement.gather(None)

    def _record_resume(self, newest: StoredCheckpoint | None, *, loaded: bool) -> None:
        if self._attempt:
            name, step = (newest.name, newest.step) if newest else ("", 0)
            step += self.earlier_steps
            with suppress(OSError):  # training continues despite a full disk
                write_resume(self._paths, self._attempt, name, step, loaded=loaded)

    def _record_failure(self, position: Position, reason: str) -> None:
        last = self.newest.name if self.newest else "none"
        self._log_line(
            f"warning: step {position.step} could not be saved ({reason}); the last checkpoint is "
            f"{last}"
        )
        with suppress(OSError):  # the disk may be full for this record, too
            if not self._fence.is_fenced(now=True):  # then a later attempt removed the draft
                self.saves.failed(reason)

    def _log_line(self, text: str) -> None:
        if self._main:
            sys.stderr.write(f"clusterrun: {text}\n")
            sys.stderr.flush()


def _last_batch(epoch: int, position: Position) -> int:
    """Return the batch that ended a checkpoint's epoch, if training is still at the same step.

    The checkpoint stays in its epoch even if training is in the next one: what happened in between
    is not in its state.
    """
    return position.batch if position.epoch == epoch else sys.maxsize


def _describe_position(newest: StoredCheckpoint) -> str:
    return f"epoch {newest.epoch}, " + (
        "end" if newest.batch == sys.maxsize else f"batch {newest.batch}"
    )
