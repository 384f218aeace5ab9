"""The history of a training run for reports: loss, speed, stalls."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterrun.run_folder.records import write_record
from clusterrun.training.protocol import AttemptContext

MOST = 2000
"""The largest number of lines in an attempt's metrics."""
_INTERVAL = 1.0  # seconds between two lines, at first

Values = Mapping[str, object]


@dataclass
class History:
    """Writes an attempt's `metrics/`, from one thread at a time, without delaying a step.

    `lines` has one JSON line per moment: `time` (Unix seconds) at which `step` was completed,
    `loss`, `learning_rate`, `rate` (samples/s; null if unknown), and `saving`, the seconds that
    training has been blocked by saves since the attempt started. The last line is replaced until
    the interval is over. When there are too many lines, every second one is dropped and the
    interval doubles. `times` has the facts about the whole attempt.
    """

    lines: Path
    times: Path
    most: int = MOST
    _kept: list[tuple[float, bytes]] = field(default_factory=list)
    _size: int = 0  # of the kept lines, in bytes
    _interval: float = _INTERVAL
    _file_is_current: bool = False  # the file contains the kept lines
    _known: Values = field(default_factory=dict)

    def add(self, line: Values) -> None:
        """Record a moment. Raises OSError; the next call then writes what is missing."""
        moment = line["time"]
        assert isinstance(moment, float)  # noqa: S101 - for the type checker
        text = (json.dumps(line) + "\n").encode()
        if self._is_due(moment) and len(self._kept) + 1 >= self.most:
            self._drop_every_second()
        self._write_last_line(text)
        if self._is_due(moment):
            self._kept.append((moment, text))
            self._size += len(text)

    def write_times(self, times: Values) -> None:
        """Record the facts about the whole attempt if they have changed. Raises OSError."""
        if times != self._known:
            self.times.parent.mkdir(mode=0o700, exist_ok=True)
            write_record(self.times, times)
            self._known = times

    def _is_due(self, moment: float) -> bool:
        return not self._kept or moment - self._kept[-1][0] >= self._interval

    def _drop_every_second(self) -> None:
        self._kept = self._kept[::2]
        self._size, self._interval, self._file_is_current = (
            sum(len(text) for _, text in self._kept),
            self._interval * 2,
            False,
        )

    def _write_last_line(self, newest: bytes) -> None:
        """Replace the last line of the file. Readers may see an incomplete line."""
        if not self._file_is_current:
            self._rewrite()
        self._file_is_current = False
        # closed each time: NFS shows the content of a file to others once it is closed
        descriptor = os.open(self.lines, os.O_WRONLY)
        try:
            os.pwrite(descriptor, newest, self._size)
            os.ftruncate(descriptor, self._size + len(newest))
        finally:
            os.close(descriptor)
        self._file_is_current = True

    def _rewrite(self) -> None:
        self.lines.parent.mkdir(mode=0o700, exist_ok=True)
        draft = self.lines.with_name(f".{self.lines.name}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(text for _, text in self._kept)
        draft.replace(self.lines)


def open_history(attempt: AttemptContext | None, *, main: bool) -> History | None:
    """Return the history of an attempt for its main process; None for the other ranks."""
    if attempt is None or not main:
        return None
    return History(attempt.paths.metrics(attempt.name), attempt.paths.times(attempt.name))


def learning_rate(accelerator: Any) -> float | None:
    """Return the learning rate of the first optimizer's first parameter group, or None."""
    with suppress(Exception):  # an unusual optimizer only lacks a curve in the report
        return finite_or_none(accelerator._optimizers[0].param_groups[0]["lr"])  # noqa: SLF001
    return None


def finite_or_none(number: Any) -> float | None:
    """Return a number as a float; None if it is missing or not finite, which JSON cannot write."""
    value = None if number is None else float(number)
    return value if value is not None and math.isfinite(value) else None
