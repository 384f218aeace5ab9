"""The state of a training: loaded at an attempt's start, saved during it, and handed over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn, TypeVar

from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.checkpointing.async_saving import AsyncSaver, Note, why_synchronous
from clusterrun.training.checkpointing.saves import Saves
from clusterrun.training.checkpointing.saving import SaveFailed, Saver
from clusterrun.training.checkpointing.store import Checkpoints, Position, StoredCheckpoint
from clusterrun.training.records.events import find_crashed_resumes, write_resume
from clusterrun.training.resharding.sharing import Sharing
from clusterrun.training.stopping.agreement import Agreement
from clusterrun.training.stopping.fence import Fence, Fenced

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class TrainingState:
    """An Accelerator's state, kept below a run folder.

    `agreement` joins the ranks, all of which make the same calls.

    `attempt` is four digits, or None without clusterrun: then nothing but checkpoints is written.
    `keep` is how many checkpoints stay, None for all. With `async_save` checkpoints are written
    beside the training, where that can be.
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
        against = why_synchronous(accelerator) if async_save else None
        if against:
            self._log_line(f"warning: saving synchronously: {against}")
        parts = accelerator, agreement, self._checkpoints, self._fence
        self._background = AsyncSaver(*parts) if async_save and not against else None
        self._saver: Saver = self._background or Saver(*parts)
        self.saves = Saves(paths.saves if self._attempt else None)
        self.sharing = Sharing(accelerator)
        self.newest: StoredCheckpoint | None = (
            None  # the one that the training stands on: loaded, or saved last
        )

    def share_steps(self, reference: int | None) -> None:
        """Share steps as the newest checkpoint did, and record it in later ones, on every rank.

        `reference` is as in `Sharing.begin_as`, which raises TrainingError.
        """
        self._saver.sharing = self.sharing
        self.sharing.begin_as(
            self._agreement.share(self._checkpoints.latest() if self._main else None), reference
        )

    def resume(self) -> Position:
        """Load the newest verified checkpoint and return its position; step 0 if there is none.

        Raises TrainingError when it was saved by a number of processes from which this one cannot
        go on exactly, and SystemExit when another attempt has taken over; nothing is written
        before.
        """
        # One rank looks: file servers may show different folders to different nodes for a while.
        newest = self._agreement.share(self._find_checkpoint() if self._main else None)
        self.leave_if_fenced()
        if newest:
            self.sharing.check(newest, newest.strategy)
            self._saver.expect(newest.size)
        if self._main:
            self._checkpoints.clear_staging()
        self.newest = newest
        position = self._load(newest) if newest else Position()
        self._agreement.gather(None)  # it has come through only when all ranks have
        self._note_resume(newest, loaded=True)
        self._log_line(
            f"resumed from {newest.name}: {_describe_position(newest)}"
            if newest
            else "no checkpoint yet, starting at step 0"
        )
        note = self.sharing.note(newest) if newest else None
        if note:
            self._log_line(note)
        return position

    def save(self, position: Position, *, ended: bool = False, leaving: bool = False) -> None:
        """Save a checkpoint, or if this step has one, record in it that its epoch has `ended`.

        Where the disk does not take it, it is told, and `newest` stays what it was. When it returns
        it may still be under way, unless the training is `leaving`. Raises SystemExit when another
        attempt has taken over.
        """
        if not leaving and self._is_under_way(position, ended=ended):
            return
        self.settle()
        newest = self.newest
        if newest is None or newest.step != position.step:
            self._save(position, leaving=leaving)
            return
        # One rank decides: where only some have a progress bar, only some have seen yet that the
        # epoch ended.
        batch = self._agreement.share(
            _last_batch(newest.epoch, position) if ended else newest.batch
        )
        if batch == newest.batch:
            return
        if newest.attempt != self._checkpoints.attempt:
            self._save(position, leaving=leaving)
        elif self._save_as_newest(
            lambda: self._log_failure(position, lambda: self._saver.move(newest, batch))
        ):
            self._log_line(f"{newest.name} is now at the end of epoch {newest.epoch}")

    def settle(self) -> None:
        """Wait for a save under way; every rank must call it. Raises SystemExit as `save` does."""
        if self._background and self._background.under_way:
            if self._background.busy():
                self._log_line(
                    f"waiting for the save of step {self._background.under_way.step}, which is "
                    "still being written"
                )
            self._save_as_newest(self._background.collect)

    def busy(self) -> bool:
        """Whether this rank still writes a checkpoint."""
        return self._background is not None and self._background.busy()

    def watch(self) -> None:
        """Raise the error of a save under way, unless it is one that `settle` handles."""
        error = self._background.failed_with() if self._background else None
        if error is not None and not isinstance(error, (SaveFailed, Fenced)):
            raise error

    def tidy(self) -> None:
        """Wait for the removal of old checkpoints: no later attempt may come to clean up."""
        self._checkpoints.tidy()

    def fenced(self) -> bool:
        """Return whether another attempt took over; the main process looks every few seconds."""
        return self._fence.seen()

    def leave_if_fenced(self) -> None:
        """Check again, and exit if another attempt took over, on every rank. Raises SystemExit."""
        if self._agreement.share(self._fence.seen(now=True)):
            self.leave_fenced()

    def leave_fenced(self) -> NoReturn:
        """Exit with code 1, on every rank, without writing: none can train alone."""
        self._log_line(
            "another attempt of this run has taken over: leaving, and writing nothing more"
        )
        self._agreement.close()
        raise SystemExit(1)

    def _is_under_way(self, position: Position, *, ended: bool) -> bool:
        """Return whether a save under way covers this step, and also that its epoch has `ended`."""
        place = self._background.under_way if self._background else None
        if place is None or place.step != position.step:
            return False
        return not self._agreement.share(
            ended and _last_batch(place.epoch, position) != place.batch
        )

    def _save(self, position: Position, *, leaving: bool) -> None:
        note = partial(self._log_save, replace(position), time.monotonic())
        if self._background and not leaving:
            self._begin_in_background(self._background, position, note)
        else:
            self._save_as_newest(lambda: note(lambda: self._saver.save(position)))

    def _begin_in_background(self, background: AsyncSaver, position: Position, note: Note) -> None:
        try:
            begun = self._log_failure(position, lambda: background.begin(position, note))
        except SaveFailed:
            return
        except Fenced:
            self.leave_fenced()
        if not begun:
            self.settle()

    def _log_save(
        self,
        position: Position,
        begun: float,
        write: Callable[[], StoredCheckpoint],
        stall: float | None = None,
    ) -> StoredCheckpoint:
        """Tell and write down how a save went."""
        saved = self._log_failure(position, write)
        with suppress(OSError):  # the checkpoint is there; what is lost is how long it took
            self.saves.published(saved.name, position.step, time.monotonic() - begun, stall)
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
        except SaveFailed:  # it has been told
            return None
        except Fenced:
            self.leave_fenced()
        return self.newest

    def _find_checkpoint(self) -> StoredCheckpoint | None:
        return self._checkpoints.newest(
            find_crashed_resumes(self._paths, self._attempt) if self._attempt else None
        )

    def _load(self, newest: StoredCheckpoint) -> Position:
        self._note_resume(newest, loaded=False)
        self.sharing.load(newest, self._paths.folder / "staging", self._wait_for_ranks)
        return self.sharing.loaded(newest)

    def _wait_for_ranks(self) -> None:
        self._agreement.gather(None)

    def _note_resume(self, newest: StoredCheckpoint | None, *, loaded: bool) -> None:
        if self._attempt:
            name, step = (newest.name, newest.step) if newest else ("", 0)
            with suppress(OSError):  # a full disk is no reason not to train
                write_resume(self._paths, self._attempt, name, step, loaded=loaded)

    def _record_failure(self, position: Position, reason: str) -> None:
        last = self.newest.name if self.newest else "none"
        self._log_line(
            f"warning: step {position.step} could not be saved ({reason}); the last checkpoint is "
            f"{last}"
        )
        with suppress(OSError):  # the disk that takes no checkpoint may not take this either
            if not self._fence.seen(now=True):  # then the draft was cleared away
                self.saves.failed(reason)

    def _log_line(self, text: str) -> None:
        if self._main:
            sys.stderr.write(f"clusterrun: {text}\n")
            sys.stderr.flush()


def _last_batch(epoch: int, position: Position) -> int:
    """Return the batch that ended a checkpoint's epoch, if training is still at the same step.

    It stays in its epoch, though the training may be in the next: what was done between the two is
    not in its state.
    """
    return position.batch if position.epoch == epoch else sys.maxsize


def _describe_position(newest: StoredCheckpoint) -> str:
    return f"epoch {newest.epoch}, " + (
        "its end" if newest.batch == sys.maxsize else f"batch {newest.batch}"
    )
