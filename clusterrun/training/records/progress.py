"""The `progress` file: how far the run is, and how long a silence is acceptable."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import SupportsFloat

from clusterrun.run_folder.records import number, read_record, whole
from clusterrun.training.records.history import History, finite_or_none
from clusterrun.training.stopping.patience import Activity, Patience

_PATIENCE = 1.0  # seconds between two writes
_LAST_WRITE = 1.0  # seconds that the end of the process waits for one
_AFTER_TRAINING = (Activity.END, Activity.OTHER)  # what comes behind the training


@dataclass(frozen=True)
class _LastStep:
    """The newest step, and what was said of it."""

    step: int
    total: int | None
    loss: SupportsFloat | None
    at: float = 0.0


@dataclass(frozen=True)
class _Note:
    """The content of a write. Instants are of time.monotonic; `first` and `left` may be None."""

    known: _LastStep | None
    rate: str
    doing: Activity
    patience: int
    first: float | None
    """When this attempt's first step was done; until then the step is an earlier attempt's."""
    left: float | None
    saving: float
    saves: int

    def text(self, loss: float | None, more: Mapping[str, object]) -> str:
        """Return the progress file."""
        watched = f"time={int(time.time())}\ndoing={self.doing.value}\npatience={self.patience}\n"
        if self.known is None:
            return watched
        told = "" if loss is None else f"{loss:.6g}"
        total = "" if self.known.total is None else self.known.total
        others = "".join(f"{key}={value}\n" for key, value in more.items() if value is not None)
        numbers = f"step={self.known.step}\ntotal={total}\nloss={told}\nrate={self.rate}\n"
        return f"{numbers}{watched}{others}"

    def line(self, loss: float | None, more: Mapping[str, object]) -> dict[str, object]:
        """Return the line of the metrics."""
        assert self.known is not None  # noqa: S101 - there is a first step
        return {
            "time": _unix_time(self.known.at),
            "step": self.known.step,
            "loss": finite_or_none(loss),
            "learning_rate": more.get("learning_rate"),
            "rate": number(self.rate),
            "saving": round(self.saving, 3),
        }

    def times(self) -> dict[str, object]:
        """Return what is known of the attempt as a whole."""
        left = {} if self.left is None else {"left": _unix_time(self.left)}
        return {
            "first_step": _unix_time(self.first or 0.0),
            "saving": f"{self.saving:.3f}",
            "saves": self.saves,
            **left,
        }


class Progress:
    """Writes step, total, loss, rate (samples/s), time (Unix s), the activity, and a patience in s.

    It writes about once a second, and when something else is begun. A thread does, so that no step
    waits for a file server, or for the GPU to know its loss. A path of None, on all ranks but the
    main one, writes nothing; nor is anything but `update` and `write` heard while `fenced`. The
    same thread keeps the `history`, and asks at each write what `more` there is to tell at a step.
    """

    def __init__(
        self,
        path: Path | None,
        fenced: Callable[[], bool] = lambda: False,
        history: History | None = None,
        more: Callable[[int], Mapping[str, object]] = lambda _: {},
    ) -> None:
        self._path, self._fenced = path, fenced
        self._writer = _NoteWriter(path, history, more) if path else None
        self._known: _LastStep | None = None
        self._new = False  # it knows more than was handed over
        self._samples, self._rate = 0, ""
        self._counted = self._written = time.monotonic()  # since when samples are, and nothing was
        self._doing, self._patience = Activity.START, Patience()
        self._notes: Queue[_Note] | None = None
        self._first: float | None = None
        self._left: float | None = None
        self._saving, self._saves = 0.0, 0

    def update(
        self, step: int, total: int | None, loss: SupportsFloat | None, samples: int | None
    ) -> None:
        """Note one optimizer step; the first is written at once, later ones about once a second."""
        if self._path is None:
            return
        now = time.monotonic()
        self._samples += samples or 0
        first = self._first is None
        if first:
            self._first, self._known = now, None  # what an earlier attempt wrote is over
        if self._known is None or step != self._known.step:
            self._patience.step(now)
            self._doing = Activity.STEP
        self._known, self._new = _LastStep(step, total, loss, now), True
        if first or (now - self._written >= _PATIENCE and self._is_idle()):
            self._hand_over()

    def alive(self) -> None:
        """Take note that something was done between two steps, such as one batch."""
        if (
            self._path is not None
            and time.monotonic() - self._written >= _PATIENCE
            and self._is_idle()
        ):
            self._write_unless_fenced()

    def begin(self, doing: Activity) -> None:
        """Write at once that something other than a step happens from here until the next step."""
        self._patience.pause()
        if self._path is None or (doing is self._doing and self._notes is not None):
            return
        if self._known is None:
            self._known = self._read_last_step(self._path)
        self._doing = doing
        self._left = time.monotonic() if doing in _AFTER_TRAINING else None
        self._write_unless_fenced()

    @contextmanager
    def during(self, doing: Activity) -> Iterator[None]:
        """Tell that something else is done for a while."""
        before, begun = self._doing, time.monotonic()
        self.begin(doing)
        yield
        if doing is Activity.SAVE:
            self._saving, self._saves = self._saving + time.monotonic() - begun, self._saves + 1
        self.begin(before)

    def write(self) -> None:
        """Write now what was noted since the last write, if anything was."""
        if self._notes is not None:
            self._notes.join()
        if self._writer and self._new:
            self._writer.write_note(self._take_note())

    def _write_unless_fenced(self) -> None:
        if not self._fenced():
            self._hand_over()

    def _read_last_step(self, path: Path) -> _LastStep | None:
        """What an earlier attempt wrote: it stays, until this one has made a step."""
        with suppress(OSError):
            old = read_record(path)
            step = whole(old.get("step"))
            return (
                None
                if step is None
                else _LastStep(step, whole(old.get("total")), number(old.get("loss")))
            )
        return None

    def _is_idle(self) -> bool:
        return self._notes is None or not self._notes.unfinished_tasks

    def _hand_over(self) -> None:
        if self._notes is None:
            self._notes = Queue()
            # A daemon: a script that ends, however it does, waits for no file server, but a moment
            # for the last write.
            atexit.register(_wait_for_writes, self._notes)
            threading.Thread(
                target=_write_notes, args=(self._writer, self._notes), name="progress", daemon=True
            ).start()
        self._notes.put(self._take_note())

    def _take_note(self) -> _Note:
        now = time.monotonic()
        if self._samples and now > self._counted:
            self._rate = f"{self._samples / (now - self._counted):.6g}"
            self._samples, self._counted = 0, now
        self._new, self._written = False, now
        patience = self._patience.seconds(self._doing)
        left = self._left if self._doing in _AFTER_TRAINING else None
        return _Note(
            self._known,
            self._rate,
            self._doing,
            patience,
            self._first,
            left,
            self._saving,
            self._saves,
        )


@dataclass(frozen=True)
class _NoteWriter:
    """Writes notes down. Nothing that goes wrong here may end a training."""

    path: Path
    history: History | None
    more: Callable[[int], Mapping[str, object]]

    def write_note(self, note: _Note) -> None:
        with suppress(
            Exception
        ):  # a full disk, or a loss that a broken GPU cannot tell, which shows elsewhere
            loss = None if note.known is None or note.known.loss is None else float(note.known.loss)
            more = self.more(note.known.step) if note.known else {}
            with suppress(OSError):
                _replace_file(self.path, note.text(loss, more))
            if self.history and note.first is not None:
                self.history.write_times(note.times())
                self.history.add(note.line(loss, more))


def _write_notes(teller: _NoteWriter, notes: Queue[_Note]) -> None:
    while True:
        note = notes.get()
        if notes.empty():  # a newer one takes its place
            teller.write_note(note)
        notes.task_done()


def _wait_for_writes(notes: Queue[_Note]) -> None:
    """Wait up to a second for a write in progress: exiting during it would leave a draft behind."""
    with notes.all_tasks_done:
        notes.all_tasks_done.wait_for(lambda: not notes.unfinished_tasks, timeout=_LAST_WRITE)


def _unix_time(instant: float) -> float:
    """Return an instant of time.monotonic in Unix seconds."""
    return round(time.time() - (time.monotonic() - instant), 3)


def _replace_file(path: Path, text: str) -> None:
    # Without fsync, unlike the records that decide something: training would wait for the disk.
    # Mode as for all records: a shared run folder opens its logs and `stop`, and nothing else.
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    draft.replace(path)
