"""The one error of the training side."""

from __future__ import annotations

from clusterrun.errors import ClusterrunError


class TrainingError(ClusterrunError):
    """Training must not go on like this; `what` is wrong, and `hint` says what to do next."""

    def __init__(self, what: str, hint: str) -> None:
        self.what, self.hint = what, hint
        super().__init__(f"{what}\n  hint: {hint}")
