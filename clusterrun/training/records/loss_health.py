"""Since when the loss is not finite: a run whose loss is NaN trains on, and learns nothing."""

from __future__ import annotations

import math
import sys


class LossHealth:
    """Follows the losses that are written, about one a second, and logs a warning when they end."""

    def __init__(self) -> None:
        self._since: int | None = None

    def note(self, step: int, loss: float | None) -> dict[str, int]:
        """Note a loss; return `loss_not_finite_since` with the first step of the current streak.

        Empty if the loss is finite, or was not reported.
        """
        if loss is None or math.isfinite(loss):
            self._since = None
            return {}
        if self._since is None:
            self._since = step
            sys.stderr.write(f"clusterrun: warning: the loss is {loss} at step {step}\n")
            sys.stderr.flush()
        return {"loss_not_finite_since": self._since}
