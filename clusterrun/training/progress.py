"""The `progress` file: how far the run is, for those who watch it, and how long nothing new is to be no alarm."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import SupportsFloat

from clusterrun.records import number, read_record, whole

from .patience import Doing, Patience

_PATIENCE = 1.0  # seconds between two writes


@dataclass(frozen=True)
class _Known:
    """The newest step, and what was said of it."""

    step: int
    total: int | None
    loss: SupportsFloat | None


@dataclass(frozen=True)
class _Note:
    """What a write tells."""

    known: _Known | None
    rate: str
    doing: Doing
    patience: int

    def text(self) -> str:
        watched = f"time={int(time.time())}\ndoing={self.doing.value}\npatience={self.patience}\n"
        if self.known is None:
            return watched
        loss = "" if self.known.loss is None else f"{float(self.known.loss):.6g}"
        total = "" if self.known.total is None else self.known.total
        return f"step={self.known.step}\ntotal={total}\nloss={loss}\nrate={self.rate}\n{watched}"


class Progress:
    """Writes step, total, loss, rate (samples/s), time (Unix seconds), what is done, and a patience in seconds.

    It writes about once a second, and when something else is begun. A thread does, so that no step waits for a file
    server, or for the GPU to know its loss. A path of None, on all ranks but the main one, writes nothing; nor is
    anything but `update` and `write` heard while `fenced`.
    """

    def __init__(self, path: Path | None, fenced: Callable[[], bool] = lambda: False) -> None:
        self._path, self._fenced = path, fenced
        self._known: _Known | None = None
        self._new = False  # it knows more than was handed over
        self._samples, self._rate = 0, ""
        self._counted = self._written = time.monotonic()  # since when samples are, and nothing was
        self._doing, self._patience = Doing.START, Patience()
        self._notes: Queue[_Note] | None = None

    def update(self, step: int, total: int | None, loss: SupportsFloat | None, samples: int | None) -> None:
        """Take note of one optimizer step; it is written when the last write is a second ago, soon after."""
        if self._path is None:
            return
        now = time.monotonic()
        self._samples += samples or 0
        if self._known is None or step != self._known.step:
            self._patience.step(now)
            self._doing = Doing.STEP
        self._known, self._new = _Known(step, total, loss), True
        if now - self._written >= _PATIENCE and self._idle():
            self._hand_over(self._path)

    def alive(self) -> None:
        """Take note that something was done between two steps, such as one batch."""
        if self._path is not None and time.monotonic() - self._written >= _PATIENCE and self._idle():
            self._tell(self._path)

    def begin(self, doing: Doing) -> None:
        """Tell at once that something else than a step is done from here on, until the next step is."""
        self._patience.pause()
        if self._path is None or (doing is self._doing and self._notes is not None):
            return
        if self._known is None:
            self._known = self._shown(self._path)
        self._doing = doing
        self._tell(self._path)

    @contextmanager
    def amid(self, doing: Doing) -> Iterator[None]:
        """Tell that something else is done for a while."""
        before = self._doing
        self.begin(doing)
        yield
        self.begin(before)

    def write(self) -> None:
        """Write now what was noted since the last write, if anything was."""
        if self._notes is not None:
            self._notes.join()
        if self._path is not None and self._new:
            _put(self._path, self._take())

    def _tell(self, path: Path) -> None:
        if not self._fenced():
            self._hand_over(path)

    def _shown(self, path: Path) -> _Known | None:
        """What an earlier attempt wrote: it stays, until this one has made a step."""
        with suppress(OSError):
            old = read_record(path)
            step = whole(old.get("step"))
            return None if step is None else _Known(step, whole(old.get("total")), number(old.get("loss")))
        return None

    def _idle(self) -> bool:
        return self._notes is None or not self._notes.unfinished_tasks

    def _hand_over(self, path: Path) -> None:
        if self._notes is None:
            self._notes = Queue()
            # A daemon: a script that ends, however it does, waits for no file server.
            threading.Thread(target=_work, args=(path, self._notes), name="progress", daemon=True).start()
        self._notes.put(self._take())

    def _take(self) -> _Note:
        now = time.monotonic()
        if self._samples and now > self._counted:
            self._rate = f"{self._samples / (now - self._counted):.6g}"
            self._samples, self._counted = 0, now
        self._new, self._written = False, now
        return _Note(self._known, self._rate, self._doing, self._patience.seconds(self._doing))


def _work(path: Path, notes: Queue[_Note]) -> None:
    while True:
        note = notes.get()
        if notes.empty():  # a newer one takes its place
            with suppress(Exception):  # a loss that a broken GPU cannot tell ends the training elsewhere
                _put(path, note)
        notes.task_done()


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
