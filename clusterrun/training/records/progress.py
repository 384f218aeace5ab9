"""The `progress` file: how far the run is, and after how long without progress it hangs."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import SupportsFloat

from clusterrun.run_folder.metric_values import LOSS, MetricLog
from clusterrun.run_folder.records import number, read_record, whole
from clusterrun.training.records.history import History, finite_or_none
from clusterrun.training.records.loss_health import LossHealth
from clusterrun.training.stopping.patience import Activity, Patience

_WRITE_INTERVAL_S = 1.0
_METRICS_AT_ONCE_S = 1.0  # metrics that are logged more rarely are written at once
_LAST_WRITE_S = 1.0  # how long the end of the process waits for a write
_AFTER_TRAINING = (Activity.END, Activity.OTHER)


@dataclass(frozen=True)
class _LastStep:
    """The newest step, and what was reported about it."""

    step: int
    total: int | None
    loss: SupportsFloat | None
    at: float = 0.0


@dataclass(frozen=True)
class _Note:
    """The content of a write. Times are those of time.monotonic; `first` and `left` may be None."""

    known: _LastStep | None
    rate: str
    doing: Activity
    patience: int
    first: float | None
    """When this attempt's first step was complete; until then the step is an earlier attempt's."""
    left: float | None
    saving: float
    saves: int

    def text(self, loss: float | None, more: Mapping[str, object]) -> str:
        """Return the content of the progress file."""
        activity = f"time={int(time.time())}\ndoing={self.doing.value}\npatience={self.patience}\n"
        others = "".join(f"{key}={value}\n" for key, value in more.items() if value is not None)
        if self.known is None:
            return f"{activity}{others}"
        loss_text = "" if loss is None else f"{loss:.6g}"
        total = "" if self.known.total is None else self.known.total
        numbers = f"step={self.known.step}\ntotal={total}\nloss={loss_text}\nrate={self.rate}\n"
        return f"{numbers}{activity}{others}"

    def line(self, loss: float | None, more: Mapping[str, object]) -> dict[str, object]:
        """Return the line for the metrics."""
        assert self.known is not None  # noqa: S101 - the first step is complete
        return {
            "time": _unix_time(self.known.at),
            "step": self.known.step,
            "loss": finite_or_none(loss),
            "learning_rate": more.get("learning_rate"),
            "rate": number(self.rate),
            "saving": round(self.saving, 3),
        }

    def times(self) -> dict[str, object]:
        """Return the facts about the whole attempt."""
        left = {} if self.left is None else {"left": _unix_time(self.left)}
        return {
            "first_step": _unix_time(self.first or 0.0),
            "saving": f"{self.saving:.3f}",
            "saves": self.saves,
            **left,
        }


class Progress:
    """Writes step, total, loss, rate (samples/s), time (Unix s), the activity, and a patience in s.

    It writes about once a second and at each change of activity, in a thread, so that no step waits
    for a file server, or for the GPU to compute the loss. With a path of None, on all ranks but the
    main one, it writes nothing; while `fenced`, only `update` and `write` write. The same thread
    writes the `history`, and calls `more` for additional values at each write.
    """

    def __init__(
        self,
        path: Path | None,
        fenced: Callable[[], bool] = lambda: False,
        history: History | None = None,
        more: Callable[[int], Mapping[str, object]] = lambda _: {},
    ) -> None:
        self._path, self._fenced = path, fenced
        self._metrics = MetricLog(path)
        self._metrics_noted = 0.0
        self._writer = _NoteWriter(path, history, more, self._metrics) if path else None
        self._known: _LastStep | None = None
        self._has_news = False  # since the last note for the thread
        self._samples, self._rate = 0, ""
        # since when samples are counted, and when a note was last written
        self._counted_since = self._written = time.monotonic()
        self._doing, self._patience = Activity.START, Patience()
        self._notes: Queue[_Note] | None = None
        self._first: float | None = None
        self._left: float | None = None
        self._saving, self._saves = 0.0, 0

    def update(
        self, step: int, total: int | None, loss: SupportsFloat | None, samples: int | None
    ) -> None:
        """Note an optimizer step; the first is written at once, later ones about once a second."""
        if self._path is None:
            return
        now = time.monotonic()
        self._samples += samples or 0
        first = self._first is None
        if first:
            self._first, self._known = now, None  # replaces what an earlier attempt wrote
        if self._known is None or step != self._known.step:
            self._patience.step(now)
            self._doing = Activity.STEP
        self._known, self._has_news = _LastStep(step, total, loss, now), True
        if first or (now - self._written >= _WRITE_INTERVAL_S and self._is_idle()):
            self._queue_note()

    def lasting_nan(self) -> str | None:
        """Return what is wrong if the loss has not been finite for several steps."""
        return self._writer.health.lasting if self._writer else None

    def note_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Note metrics such as the loss of an evaluation."""
        if self._path is None:
            return
        for name, value in values.items():
            self._metrics.add(name, step, value)
        now, self._has_news = time.monotonic(), True
        if now - self._metrics_noted >= _METRICS_AT_ONCE_S:
            self._metrics_noted = now
            self._write_unless_fenced()

    def alive(self) -> None:
        """Note progress between two steps, such as one batch."""
        if (
            self._path is not None
            and time.monotonic() - self._written >= _WRITE_INTERVAL_S
            and self._is_idle()
        ):
            self._write_unless_fenced()

    def begin(self, doing: Activity) -> None:
        """Write at once that training does something other than a step, until the next step."""
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
        """Report another activity inside the context."""
        before, start = self._doing, time.monotonic()
        self.begin(doing)
        yield
        if doing is Activity.SAVE:
            self._saving, self._saves = self._saving + time.monotonic() - start, self._saves + 1
        self.begin(before)

    def write(self) -> None:
        """Write at once if there is news since the last write."""
        if self._notes is not None:
            self._notes.join()
        if self._writer and self._has_news:
            self._writer.write_note(self._make_note())

    def _write_unless_fenced(self) -> None:
        if not self._fenced():
            self._queue_note()

    def _read_last_step(self, path: Path) -> _LastStep | None:
        """Read what an earlier attempt wrote, to keep it until the first step of this one."""
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

    def _queue_note(self) -> None:
        if self._notes is None:
            self._notes = Queue()
            # A daemon: a script that exits does not wait for a file server, except a moment for the
            # last write.
            atexit.register(_wait_for_writes, self._notes)
            threading.Thread(
                target=_write_notes, args=(self._writer, self._notes), name="progress", daemon=True
            ).start()
        self._notes.put(self._make_note())

    def _make_note(self) -> _Note:
        now = time.monotonic()
        if self._samples and now > self._counted_since:
            self._rate = f"{self._samples / (now - self._counted_since):.6g}"
            self._samples, self._counted_since = 0, now
        self._has_news, self._written = False, now
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
    """Writes notes to the files. Errors here must not end the training."""

    path: Path
    history: History | None
    more: Callable[[int], Mapping[str, object]]
    metrics: MetricLog
    health: LossHealth = field(default_factory=LossHealth)

    def write_note(self, note: _Note) -> None:
        # a full disk, or a loss that a broken GPU cannot compute, which fails elsewhere, too
        with suppress(Exception):
            loss = None if note.known is None or note.known.loss is None else float(note.known.loss)
            more = self.more(note.known.step) if note.known else {}
            if note.known and note.first is not None:
                more = {**more, **self.health.note(note.known.step, loss)}
                if loss is not None:
                    self.metrics.add(LOSS, note.known.step, loss)
            with suppress(OSError):
                _replace_file(self.path, note.text(loss, {**more, **self.metrics.as_record()}))
            if self.history and note.first is not None:
                self.history.write_times(note.times())
                self.history.add(note.line(loss, more) | self.metrics.as_line())


def _write_notes(writer: _NoteWriter, notes: Queue[_Note]) -> None:
    while True:
        note = notes.get()
        if notes.empty():  # otherwise a newer note replaces it
            writer.write_note(note)
        notes.task_done()


def _wait_for_writes(notes: Queue[_Note]) -> None:
    """Wait up to a second for a write in progress: exiting during it would leave a draft file."""
    with notes.all_tasks_done:
        notes.all_tasks_done.wait_for(lambda: not notes.unfinished_tasks, timeout=_LAST_WRITE_S)


def _unix_time(instant: float) -> float:
    """Convert a time of time.monotonic to Unix seconds."""
    return round(time.time() - (time.monotonic() - instant), 3)


def _replace_file(path: Path, text: str) -> None:
    # Without fsync, unlike records on which decisions depend: training would wait for the disk.
    # Mode 0600 as for all records: a shared run folder opens only its logs and `stop`.
    draft = path.with_name(f".{path.name}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    draft.replace(path)
