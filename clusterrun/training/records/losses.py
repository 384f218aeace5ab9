"""Record every step's loss for a comparison, as `clusterrun rehearse` needs it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import SupportsFloat

from clusterrun.training.protocol import AttemptContext

LOSSES_VARIABLE = "CLUSTERRUN_LOSSES"  # the environment variable that asks for it
_PATIENCE = 1.0  # seconds between two writes


class Losses:
    """Appends a JSON line per step: `step`, `since`, `loss`, `time` (Unix s); no path, no lines.

    `loss` is the main process's own, all its digits, the mean over the steps behind `since` up to
    `step`; null where none was told. Unlike the progress file it waits for the GPU at every step,
    so nobody has it who does not ask.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: list[str] = []
        self._written = 0.0

    def note(self, step: int, loss: SupportsFloat | None, *, since: int | None = None) -> None:
        """Take note of a step's loss; `since` is the step before, where nothing else is said."""
        if self._path is None:
            return
        values = {
            "step": step,
            "since": step - 1 if since is None else since,
            "loss": None if loss is None else float(loss),
            "time": round(time.time(), 3),
        }
        self._lines.append(json.dumps(values) + "\n")
        if time.monotonic() - self._written >= _PATIENCE:
            self.write()

    def write(self) -> None:
        """Write what was noted since the last write. A failing disk does not end the training."""
        if self._path is None or not self._lines:
            return
        text, self._lines, self._written = "".join(self._lines), [], time.monotonic()
        with suppress(OSError):  # closed each time: NFS shows others what a closed file has
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)


def open_losses(
    attempt: AttemptContext | None, *, main: bool, environment: Mapping[str, str] = os.environ
) -> Losses:
    """Return where the main process of an attempt writes its losses, if the environment says so."""
    asked = attempt is not None and main and environment.get(LOSSES_VARIABLE)
    return Losses(attempt.paths.losses(attempt.name) if attempt and asked else None)
