"""The `progress` file: how far the run is, for those who watch it."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import SupportsFloat

_PATIENCE = 1.0  # seconds between two writes


@dataclass
class _Note:
    """What a write tells: of the newest step, and of how many samples were taken in so many seconds."""

    step: int
    total: int | None
    loss: SupportsFloat | None
    samples: int
    seconds: float

    def text(self) -> str:
        rate = f"{self.samples / self.seconds:.6g}" if self.samples and self.seconds else ""
        loss = "" if self.loss is None else f"{float(self.loss):.6g}"
        total = "" if self.total is None else self.total
        return f"step={self.step}\ntotal={total}\nloss={loss}\nrate={rate}\ntime={int(time.time())}\n"


class Progress:
    """Writes step, total, loss, rate (samples/s) and time (Unix seconds) about once a second.

    A thread writes, so that no step waits for a file server, or for the GPU to know its loss. A path of None, on all
    ranks but the main one, writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._latest: _Note | None = None
        self._samples = 0
        self._written = time.monotonic()
        self._writing = threading.Lock()  # held from the handing over of a note until it is written
        self._notes: SimpleQueue[_Note] | None = None

    def update(self, step: int, total: int | None, loss: SupportsFloat | None, samples: int | None) -> None:
        """Take note of one optimizer step; it is written when the last write is a second ago, soon after."""
        self._samples += samples or 0
        seconds = time.monotonic() - self._written
        self._latest = _Note(step, total, loss, self._samples, seconds)
        if self._path is not None and seconds >= _PATIENCE and self._writing.acquire(blocking=False):
            self._hand_over(self._path, self._latest)

    def write(self) -> None:
        """Write now what was noted since the last write, if anything was."""
        with self._writing:  # what was handed over before is written by then
            if self._path is not None and self._latest is not None:
                _put(self._path, self._take(self._latest))

    def _hand_over(self, path: Path, note: _Note) -> None:
        if self._notes is None:
            self._notes = SimpleQueue()
            # A daemon: a script that ends, however it does, waits for no file server.
            threading.Thread(target=self._work, args=(path, self._notes), name="progress", daemon=True).start()
        self._notes.put(self._take(note))

    def _work(self, path: Path, notes: SimpleQueue[_Note]) -> None:
        while True:
            note = notes.get()
            with suppress(Exception):  # a loss that a broken GPU cannot tell ends the training elsewhere
                _put(path, note)
            self._writing.release()

    def _take(self, note: _Note) -> _Note:
        self._latest, self._samples, self._written = None, 0, time.monotonic()
        return note


def _put(path: Path, note: _Note) -> None:
    with suppress(OSError):  # a full disk, or a file server that is away, must not end a training run
        _replace(path, note.text())


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
