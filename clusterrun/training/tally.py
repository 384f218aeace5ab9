"""What the body of a loop has done since it was given a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clusterrun.training.checkpointing.store import Position

if TYPE_CHECKING:
    from accelerate import Accelerator

_NOTHING: Any = object()  # no batch: None may be one


class Tally:
    """Counts batches and optimizer steps into a position, each once it is certainly done."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._given = _NOTHING  # the batch that the body works on, until it is counted
        self._trained = False
        self._samples = 0
        self._step_open = False

    def give(self, batch: Any) -> None:
        """Note that the body has a batch now."""
        self._given, self._trained = batch, False

    def note_step(self, *_: Any) -> None:
        """Note that an optimizer has made a step; a hook for torch's optimizers."""
        self._trained = True

    def count_if_trained(self, position: Position) -> None:
        """Count the batch already if its step is made, though the body is not done with it."""
        if self._trained:
            self.count(position)

    def count(self, position: Position) -> None:
        """Count the batch that the body is done with, unless it was counted before."""
        if self._given is _NOTHING:
            return
        self._samples += _batch_size(self._given) * int(self._accelerator.num_processes)
        self._given, self._trained = _NOTHING, False
        position.batch += 1
        if self._accelerator.sync_gradients:
            position.step += 1
            self._step_open = True

    def close_step(self) -> int | None:
        """Return the samples of a newly counted step, over all ranks; None if there was none."""
        if not self._step_open:
            return None
        samples, self._samples, self._step_open = self._samples, 0, False
        return samples


def _batch_size(batch: Any) -> int:
    from accelerate.utils import find_batch_size

    try:
        return int(find_batch_size(batch) or 0)
    except (TypeError, IndexError, ValueError):
        return 0  # a batch without a tensor, with one that has no dimensions, or with an empty list
