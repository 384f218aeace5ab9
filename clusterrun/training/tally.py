"""The batches and steps that the body of a training loop has completed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clusterrun.training.checkpointing.store import Position

if TYPE_CHECKING:
    from accelerate import Accelerator

_NO_BATCH: Any = object()  # because None may be a batch


class Tally:
    """Counts batches and optimizer steps in a position, each once it is certainly complete."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._batch = _NO_BATCH  # the current batch, until it is counted
        self._has_stepped = False
        self._samples = 0
        self._step_open = False

    def start_batch(self, batch: Any) -> None:
        """Note that the loop body has received a batch."""
        self._batch, self._has_stepped = batch, False

    def note_step(self, *_: Any) -> None:
        """Note that an optimizer has made a step; a hook for torch's optimizers."""
        self._has_stepped = True

    def count_if_trained(self, position: Position) -> None:
        """Count the batch after its optimizer step, even if the loop body still uses it."""
        if self._has_stepped:
            self.count(position)

    def count(self, position: Position) -> None:
        """Count the batch that the loop body has completed, unless it is counted already."""
        if self._batch is _NO_BATCH:
            return
        self._samples += _batch_size(self._batch) * int(self._accelerator.num_processes)
        self._batch, self._has_stepped = _NO_BATCH, False
        position.batch += 1
        if self._accelerator.sync_gradients:
            position.step += 1
            self._step_open = True

    def close_step(self) -> int | None:
        """Return the samples of a newly counted step, over all ranks; None without a new step."""
        if not self._step_open:
            return None
        samples, self._samples, self._step_open = self._samples, 0, False
        return samples


def _batch_size(batch: Any) -> int:
    from accelerate.utils import find_batch_size

    try:
        return int(find_batch_size(batch) or 0)
    except (TypeError, IndexError, ValueError):
        return 0  # a batch without a tensor, with a tensor of no dimensions, or with an empty list
