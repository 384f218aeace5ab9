"""The methods of a training loop: epochs, batches, evaluation, on top of resume and step_done."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NoReturn, SupportsFloat, TypeVar

from clusterrun.errors import TrainingError
from clusterrun.training.checkpointing.store import Position
from clusterrun.training.epoch_order import EpochOrder
from clusterrun.training.evaluation import Evaluation, training_mode
from clusterrun.training.loaders import (
    common_loader_length,
    list_order_warnings,
    loader_length,
    remaining_batches,
)
from clusterrun.training.randomness import RandomState
from clusterrun.training.records.events import mark_refusals
from clusterrun.training.records.progress import Progress
from clusterrun.training.stopping.patience import Activity
from clusterrun.training.tally import Tally

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class Loop(ABC):
    """A training loop that goes on where an earlier attempt left it.

    It resumes at its first use, saves when a checkpoint is due, and leaves when asked: by
    SystemExit(0), on all ranks at the same place, when all is saved. Every rank must use it alike.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._position: Position | None = None  # the one that resume returned
        self._progress = Progress(None)
        self._tally = Tally(accelerator)
        self._order = EpochOrder(accelerator)
        self._loops = False  # whether the script's loop is `epochs` and `batches`
        self._evaluation: Evaluation | None = None
        self._entered: int | None = None  # the epoch whose batches were asked for last
        self._ended: int | None = None  # the step at which an epoch ended last
        self._epochs: int | None = None
        self._total: int | None = None
        self._loss: SupportsFloat | None = None
        self._warned: set[str] = set()

    @property
    def step(self) -> int:
        """The optimizer steps since the run began, including one just made by the loop's body.

        Raises TrainingError before the run has resumed.
        """
        if self._position is None:
            raise TrainingError(
                "the step is not known before the run has resumed", "use it inside run.epochs()"
            )
        self._tally.count_if_trained(self._position)
        return self._position.step

    def epochs(self, number: int, *, total: int | None = None) -> Iterator[int]:
        """Yield the epochs, counted from 0, of a training of `number`, starting at the resumed one.

        Those who watch the run are shown `total` optimizer steps. Without it they are counted from
        epochs and batches, which is too many where a `break` ends the training early.

        Raises TrainingError when it is used twice.
        """
        position = self._resume_once()
        self._enter_training(number, total)
        while position.epoch < number:
            yield position.epoch
            self._finish_batch(position)
            position.epoch, position.batch = position.epoch + 1, 0
            self._ended = position.step
            self._report_step(position)

    def batches(self, loader: Iterable[T]) -> Iterator[T]:
        """Give the batches that are left of this epoch, in the order of this epoch.

        An optimizer step is done when the loop's body comes back for the next batch and
        `accelerator.sync_gradients` is true. A `break` ends the epoch, also for an attempt that
        resumes after it. An attempt that resumes after the last batch of an epoch gets none, and
        goes on behind the loop.

        Raises TrainingError when it is used twice in an epoch.
        """
        from torch.optim.optimizer import register_optimizer_step_post_hook

        position = self._resume_once()
        self._enter_epoch(position, loader)
        self._progress.begin(Activity.START)
        epoch = position.epoch
        watch = register_optimizer_step_post_hook(self._tally.note_step)
        try:
            for batch in self._remaining_batches(loader, position):
                self._tally.give(batch)
                yield batch
                self._finish_batch(position)
                self._report_step(position)
                self._progress.alive()
        except GeneratorExit:
            if (
                position.epoch == epoch
            ):  # otherwise a progress bar has kept it, and another epoch is under way
                self._finish_batch(position)
                position.batch = max(position.batch, loader_length(loader) or sys.maxsize)
                self._ended = position.step
            raise
        finally:
            watch.remove()
            self._progress.begin(Activity.EPOCH)

    def evaluation(self, loader: Iterable[T], position: Position | None = None) -> Iterator[T]:
        """Yield an evaluation's batches; between them, handle requests and due saves.

        It leaves the random state as it found it. An evaluation behind an epoch's batches that a
        stop cuts short is begun anew by the attempt that resumes; one amid an epoch is not.

        Every rank must call it and take as many batches as the others. With loaders of different
        lengths, as with `even_batches=False`, requests are seen up to the shortest; with one of
        unknown length only where Accelerate shares out its batches; and never amid gradient
        accumulation. `position` is for a script that counts for itself in other objects than the
        one that `resume` returned.
        """
        place = position or self._resume_once()
        self._tally.count_if_trained(place)
        evaluation = Evaluation(self._accelerator, self._common_checks(loader))
        self._evaluation = outermost = self._evaluation or evaluation
        self._progress.begin(Activity.EVALUATION)
        try:
            for batch in loader:
                yield batch
                self._progress.alive()
                if evaluation.may_check():
                    self._check_requests(outermost, place)
        finally:
            if self._evaluation is evaluation:
                self._end_evaluation()

    def log(self, *, loss: SupportsFloat) -> None:
        """Report the loss of a batch; a tensor's value is read about once a second."""
        detach = getattr(loss, "detach", None)
        self._loss = detach() if detach else loss

    @abstractmethod
    def resume(self) -> Position:
        """Load the newest checkpoint and return its position."""

    @abstractmethod
    def step_done(
        self,
        position: Position,
        *,
        total: int | None = None,
        loss: SupportsFloat | None = None,
        samples: int | None = None,
    ) -> bool:
        """Say that one more optimizer step is done; True: leave."""

    @abstractmethod
    def respond(self, position: Position) -> bool:
        """Do what is asked for amid long work between two steps; True: leave."""

    @abstractmethod
    def _least_of_ranks(self, number: int) -> int:
        """Return the smallest of the numbers that all ranks hand in."""

    @abstractmethod
    def _check_loader(self, loader: Iterable[Any], steps: int) -> None:
        """Check the loader of an epoch of `steps` steps (0: unknown). Raises TrainingError."""

    @abstractmethod
    def _log_line(self, text: str) -> None:
        """Tell the user, once for all ranks."""

    def _resume_once(self) -> Position:
        if self._position is None:
            self._loops = True
            with training_mode():  # the first use may be an evaluation
                self._position = self.resume()
        return self._position

    @mark_refusals()
    def _enter_training(self, number: int, total: int | None) -> None:
        if self._epochs is not None:
            raise TrainingError(
                "run.epochs was used twice: the second loop would start after the first one's last "
                "epoch, and train nothing",
                "use one loop over all epochs, or submit each training as a run of its own",
            )
        self._epochs, self._total = number, total

    @mark_refusals()
    def _enter_epoch(self, position: Position, loader: Iterable[Any]) -> None:
        if self._entered == position.epoch:
            raise TrainingError(
                f"run.batches was used twice in epoch {position.epoch}: nobody could say where to "
                "resume",
                "use it once inside `for epoch in run.epochs(...)`, and run.evaluation for an "
                "evaluation's batches",
            )
        self._entered = position.epoch
        self._warn(loader)
        steps = math.ceil(
            (loader_length(loader) or 0) / self._accelerator.gradient_accumulation_steps
        )
        self._check_loader(loader, steps)
        if self._total is None and self._epochs:
            self._total = steps * self._epochs or None

    def _remaining_batches(self, loader: Iterable[T], position: Position) -> Iterator[T]:
        rest = remaining_batches(loader, position.epoch, position.batch)
        if not position.batch:
            self._order.begin(loader)
        if not position.batch or not rest:  # without batches, no order is drawn
            return iter(rest)
        # A loader draws from the common stream when it begins. It had done so before the state was
        # saved.
        saved = RandomState.now(self._accelerator.device)
        if not self._order.replay(loader):
            self._log_line(
                "warning: the checkpoint does not hold the order of this epoch: until its end, "
                "samples may repeat or be left out"
            )
        batches = iter(rest)
        first = list(islice(batches, 1))
        saved.restore()
        return chain(first, batches)

    def _finish_batch(self, position: Position) -> None:
        self._end_evaluation()
        self._tally.count(position)

    def _report_step(self, position: Position) -> None:
        samples = self._tally.close_step()
        if samples is not None and self.step_done(
            position, total=self._total, loss=self._loss, samples=samples
        ):
            self._exit()

    def _common_checks(self, loader: Iterable[Any]) -> int:
        if not self._accelerator.sync_gradients:
            return 0
        return self._least_of_ranks(
            common_loader_length(loader, int(self._accelerator.num_processes))
        )

    def _check_requests(self, evaluation: Evaluation, position: Position) -> None:
        with evaluation.suspended():
            leave = self.respond(position)
        if leave:
            self._exit()

    def _end_evaluation(self) -> None:
        if self._evaluation:
            self._evaluation.end()
        self._evaluation = None

    def _exit(self) -> NoReturn:
        self._accelerator.end_training()
        raise SystemExit(0)

    def _warn(self, *loaders: Iterable[Any]) -> None:
        for warning in list_order_warnings(self._accelerator, *loaders, replayed=self._loops):
            if warning not in self._warned:
                self._log_line(warning)
            self._warned.add(warning)
