"""One evaluation during a training: when it checks for requests, and its restored random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clusterrun.training.randomness import RandomState

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def training_mode() -> Iterator[None]:
    """Make tensors usable for training, even under `torch.no_grad` or `torch.inference_mode`."""
    import torch

    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


class Evaluation:
    """An evaluation under way; `looks` is after how many batches all ranks can look up together.

    Training goes on with the random state from before it. So it is the same whether an evaluation
    ran through, was cut short by a stop, or is run again by the attempt that resumes.
    """

    def __init__(self, accelerator: Accelerator, checks: int) -> None:
        self._accelerator, self._checks = accelerator, checks
        self._before = RandomState.now(accelerator.device)

    def may_check(self) -> bool:
        """Whether all ranks look up after the batch that is done now."""
        self._checks -= 1
        return self._checks >= 0

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Have things as they are in training for a while, so that a checkpoint can be saved."""
        now = RandomState.now(self._accelerator.device)
        self._before.restore()
        with training_mode():
            yield
        now.restore()

    def end(self) -> None:
        """Go back to training."""
        self._before.restore()
