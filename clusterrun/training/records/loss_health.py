"""Since when the loss is not finite: a run whose loss is NaN trains on, and learns nothing."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, SupportsFloat

# Longer than an overflow, after which a gradient scaler skips the step.
_LASTING_STEPS = 10


def is_finite(loss: SupportsFloat | None) -> bool:
    """Return whether a loss is finite or unknown; a tensor waits for the GPU."""
    with suppress(ValueError, TypeError, RuntimeError):  # such as a tensor with several elements
        return loss is None or math.isfinite(float(loss))
    return True


def read_loss(logs: Mapping[str, Any], before: float | None) -> float | None:
    """Return the loss of a Trainer's logs; `before` if they have none.

    Trainer replaces a loss that is NaN by the mean of the other losses, or by 0
    (logging_nan_inf_filter), but logs the norm of its gradients.
    """
    loss = logs.get("loss", before)
    norm = logs.get("grad_norm")
    hidden = norm is not None and "loss" in logs and math.isnan(float(norm)) and not loss
    return math.nan if hidden else loss


class LossHealth:
    """Follows the losses that are written, about one a second, and logs a warning when they end."""

    def __init__(self) -> None:
        self._since: int | None = None
        self.lasting: str | None = None  # what is wrong, once a streak is long

    def note(self, step: int, loss: float | None) -> dict[str, int]:
        """Note a loss; return `loss_not_finite_since` with the first step of the current streak.

        Empty if the loss is finite, or was not reported.
        """
        if loss is None or math.isfinite(loss):
            self._since = self.lasting = None
            return {}
        if self._since is None:
            self._since = step
            sys.stderr.write(f"clusterrun: warning: the loss is {loss} at step {step}\n")
            sys.stderr.flush()
        if step - self._since >= _LASTING_STEPS:
            self.lasting = f"the loss is {loss}, and not finite since step {self._since}"
        return {"loss_not_finite_since": self._since}
