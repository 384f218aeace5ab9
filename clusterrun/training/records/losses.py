"""The losses of all steps, which `clusterrun rehearse` compares."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import SupportsFloat

from clusterrun.training.protocol import AttemptContext

LOSSES_VARIABLE = "CLUSTERRUN_LOSSES"  # the environment variable that enables them
_WRITE_INTERVAL_S = 1.0


class Losses:
    """Appends a JSON line per step: `step`, `since`, `loss`, `time` (Unix s); none without a path.

    `loss` is the main process's own with all digits, the mean over the steps after `since` up to
    `step`; null if none was reported, and a word such as "nan" if it is not finite. Unlike the
    progress file it waits for the GPU at every step, so it is written only on request.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[str] = []
        self._written = 0.0

    def note(self, step: int, loss: SupportsFloat | None, *, since: int | None = None) -> None:
        """Record the loss of a step; `since` is the previous step by default."""
        if self._path is None:
            return
        values = {
            "step": step,
            "since": step - 1 if since is None else since,
            "loss": None if loss is None else _in_json(float(loss)),
            "time": round(time.time(), 3),
        }
        self._lines.append(json.dumps(values) + "\n")
        if time.monotonic() - self._written >= _WRITE_INTERVAL_S:
            self.write()

    def write(self) -> None:
        """Write the losses since the last write. A failing disk does not end the training."""
        if self._path is None or not self._lines:
            return
        text, self._lines, self._written = "".join(self._lines), [], time.monotonic()
        with suppress(OSError):  # closed each time: NFS shows a file's content once it is closed
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)


def _in_json(loss: float) -> float | str:
    return loss if math.isfinite(loss) else str(loss)


def open_losses(
    attempt: AttemptContext | None, *, main: bool, environment: Mapping[str, str] = os.environ
) -> Losses:
    """Return the losses of an attempt; only its main process writes, if the environment says so."""
    is_enabled = main and environment.get(LOSSES_VARIABLE)
    return Losses(attempt.paths.losses(attempt.name) if attempt and is_enabled else None)
