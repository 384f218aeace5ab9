"""The methods of a training loop: epochs, batches and evaluation, based on resume and step_done."""

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
    """A training loop that resumes where an earlier attempt stopped.

    It resumes at its first use, saves when a checkpoint is due, and on a stop request saves and
    exits by SystemExit(0) at the same place on all ranks. Every rank must use it in the same way.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._position: Position | None = None  # the object that resume returned
        self._progress = Progress(None)
        self._tally = Tally(accelerator)
        self._order = EpochOrder(accelerator)
        self._loops = False  # whether the script's loop is `epochs` and `batches`
        self._evaluation: Evaluation | None = None
        self._current_epoch: int | None = None  # the epoch of the last call of `batches`
        self._epoch_end_step: int | None = None  # the step at which the last epoch ended
        self._epochs: int | None = None
        self._total: int | None = None
        self._loss: SupportsFloat | None = None
        self._warned: set[str] = set()

    @property
    def step(self) -> int:
        """The optimizer steps since the start of the run, including the loop body's current one.

        Raises TrainingError before the run has resumed.
        """
        if self._position is None:
            raise TrainingError(
                "the step is not known before the run has resumed", "use it inside run.epochs()"
            )
        self._tally.count_if_trained(self._position)
        return self._position.step

    def epochs(self, number: int, *, total: int | None = None) -> Iterator[int]:
        """Yield the epochs of `number` in total, counted from 0, starting at the resumed one.

        `total` is the number of optimizer steps that `status` shows. Without it, it is computed
        from epochs and batches, which is too many if a `break` ends an epoch early.

        Raises TrainingError if it is used twice.
        """
        position = self._resume_once()
        self._enter_training(number, total)
        while position.epoch < number:
            yield position.epoch
            self._finish_batch(position)
            position.epoch, position.batch = position.epoch + 1, 0
            self._epoch_end_step = position.step
            self._report_step(position)

    def batches(self, loader: Iterable[T]) -> Iterator[T]:
        """Yield the remaining batches of this epoch, in the order of this epoch.

        An optimizer step is complete when the loop body requests the next batch and
        `accelerator.sync_gradients` is true. A `break` ends the epoch, also for an attempt that
        resumes after it. An attempt that resumes after the last batch of an epoch gets no batches,
        and continues after the loop.

        Raises TrainingError if it is called twice in an epoch.
        """
        from torch.optim.optimizer import register_optimizer_step_post_hook

        position = self._resume_once()
        self._enter_epoch(position, loader)
        self._progress.begin(Activity.START)
        epoch = position.epoch
        hook = register_optimizer_step_post_hook(self._tally.note_step)
        try:
            for batch in self._remaining_batches(loader, position):
                self._tally.start_batch(batch)
                yield batch
                self._finish_batch(position)
                self._report_step(position)
                self._progress.alive()
        except GeneratorExit:
            # in another epoch if a progress bar has kept this generator alive
            if position.epoch == epoch:
                self._finish_batch(position)
                position.batch = max(position.batch, loader_length(loader) or sys.maxsize)
                self._epoch_end_step = position.step
            raise
        finally:
            hook.remove()
            self._progress.begin(Activity.EPOCH)

    def evaluation(self, loader: Iterable[T], position: Position | None = None) -> Iterator[T]:
        """Yield the batches of an evaluation; between them, handle requests and due saves.

        The random state is restored afterwards. If a stop interrupts an evaluation after an epoch,
        the resumed attempt repeats it; an evaluation within an epoch is not repeated.

        Every rank must call it and consume the same number of batches. With loaders of different
        lengths, as with `even_batches=False`, requests are handled up to the end of the shortest;
        with a loader of unknown length, only if Accelerate distributes its batches; and never
        during gradient accumulation. Pass `position` if the script counts in another object than
        the one that `resume` returned.
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

    def log(self, *, loss: SupportsFloat | None = None, **metrics: SupportsFloat) -> None:
        """Report the loss of a batch, or metrics such as `eval_loss`, as the main process has them.

        A loss tensor's value is read about once a second, every other value at once. `status` and
        the table of a sweep have the last and the best value of each metric.
        """
        if loss is not None:
            detach = getattr(loss, "detach", None)
            self._loss = detach() if detach else loss
        if metrics:
            step = 0 if self._position is None else self.step
            values = {name: float(value) for name, value in metrics.items()}
            self._progress.note_metrics(step, values)

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
        """Report a completed optimizer step; return True if the script must exit."""

    @abstractmethod
    def respond(self, position: Position) -> bool:
        """Handle requests during long work between two steps; return True to exit."""

    @abstractmethod
    def _least_of_ranks(self, number: int) -> int:
        """Return the smallest of the ranks' numbers."""

    @abstractmethod
    def _check_loader(self, loader: Iterable[Any], steps: int) -> None:
        """Check the loader of an epoch of `steps` steps (0: unknown). Raises TrainingError."""

    @abstractmethod
    def _log_line(self, text: str) -> None:
        """Log a line, once for all ranks."""

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
        if self._current_epoch == position.epoch:
            raise TrainingError(
                f"run.batches was called twice in epoch {position.epoch}, so the position to "
                "resume from is ambiguous",
                "call it once inside `for epoch in run.epochs(...)`, and use run.evaluation for "
                "the batches of an evaluation",
            )
        self._current_epoch = position.epoch
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
        # A loader draws random numbers when it starts, and had done so before the state was saved.
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
            must_exit = self.respond(position)
        if must_exit:
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
