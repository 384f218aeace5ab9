"""The `progress` file: how far the run is, for those who watch it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsFloat

_PATIENCE = 1.0  # seconds between two writes


@dataclass
class _Latest:
    step: int
    total: int | None
    loss: SupportsFloat | None


class Progress:
    """Writes step, total, loss, rate (samples/s) and time (Unix seconds) about once a second.

    A path of None, on all ranks but the main one, writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._latest: _Latest | None = None
        self._samples = 0
        self._written = time.monotonic()

    def update(self, step: int, total: int | None, loss: SupportsFloat | None, samples: int | None) -> None:
        """Take note of one optimizer step, and write when the last write is a second ago.

        `loss` becomes a number only when it is written: on a GPU that waits for the step.
        """
        self._latest = _Latest(step, total, loss)
        self._samples += samples or 0
        if time.monotonic() - self._written >= _PATIENCE:
            self.write()

    def write(self) -> None:
        """Write now what was noted since the last write, if anything was."""
        if self._path is None or self._latest is None:
            return
        now = time.monotonic()
        seconds = now - self._written
        record = {
            "step": self._latest.step,
            "total": "" if self._latest.total is None else self._latest.total,
            "loss": "" if self._latest.loss is None else f"{float(self._latest.loss):.6g}",
            "rate": f"{self._samples / seconds:.6g}" if self._samples and seconds else "",
            "time": int(time.time()),
        }
        self._latest, self._samples, self._written = None, 0, now
        with suppress(OSError):  # a full disk, or a file server that is away, must not end a training run
            _replace(self._path, "".join(f"{key}={value}\n" for key, value in record.items()))


def _replace(path: Path, text: str) -> None:
    # Without fsync, unlike the records that decide something: training would wait for the disk.
    # Mode as for all records: a shared run folder opens its logs and `stop`, and nothing else.
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    draft.replace(path)
