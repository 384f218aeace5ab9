"""An evaluation during training: when it checks for requests, and how it restores random state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clusterrun.training.randomness import RandomState

if TYPE_CHECKING:
    from accelerate import Accelerator


@contextmanager
def training_mode() -> Iterator[None]:
    """Enable gradients, even inside `torch.no_grad` or `torch.inference_mode`."""
    import torch

    with torch.inference_mode(mode=False), torch.enable_grad():
        yield


class Evaluation:
    """An evaluation in progress; `checks` is the number of batches after which all ranks can check.

    Training continues with the random state from before the evaluation, so it is the same whether
    the evaluation was complete, was interrupted by a stop, or is repeated after a resume.
    """

    def __init__(self, accelerator: Accelerator, checks: int) -> None:
        self._accelerator, self._checks = accelerator, checks
        self._before = RandomState.now(accelerator.device)

    def may_check(self) -> bool:
        """Return whether all ranks check for requests after the current batch."""
        self._checks -= 1
        return self._checks >= 0

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Restore the state of training for a while, so that a checkpoint can be saved."""
        now = RandomState.now(self._accelerator.device)
        self._before.restore()
        with training_mode():
            yield
        now.restore()

    def end(self) -> None:
        """Restore the random state of training."""
        self._before.restore()
