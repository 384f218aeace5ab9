"""The `saves` record: the newest checkpoint of the run, and the duration of saves."""

from __future__ import annotations

import time
from pathlib import Path

from clusterrun.run_folder.records import number, read_record, whole, write_record


class Saves:
    """Records a run's saves over all attempts; with a path of None only in memory.

    All times are wall clock seconds. Only the main process may write.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._record: dict[str, object] = dict(read_record(path)) if path else {}
        self._record.pop("failed", None)

    @property
    def last(self) -> float | None:
        """How long the last save blocked training; None before the first.

        For an asynchronous save it is at least a tenth of the time until it was published. An
        interval is at least ten times as long, so the previous save is always complete.
        """
        whole, stall = (number(str(self._record.get(key, ""))) for key in ("seconds", "stall"))
        return whole if whole is None or stall is None else max(stall, whole / 10)

    @property
    def longest(self) -> float | None:
        """The time that a stop may need for a save, from the longest so far; None before any."""
        return number(str(self._record.get("longest", "")))

    @property
    def count(self) -> int:
        """The number of checkpoints that the run has published."""
        return whole(str(self._record.get("count", ""))) or 0

    def published(
        self, checkpoint: str, step: int, seconds: float, stall: float | None = None
    ) -> None:
        """Record a published checkpoint and the duration of its save in seconds. Raises OSError.

        `stall` is how long an asynchronous save blocked training. A stop may have to wait for such
        a save before its own, so it counts twice in `longest`, from which the job script computes
        how early to request a stop.
        """
        needed = seconds if stall is None else 2 * seconds
        self._record = {
            "checkpoint": checkpoint,
            "step": step,
            "seconds": f"{seconds:.2f}",
            **({} if stall is None else {"stall": f"{stall:.2f}"}),
            "longest": f"{max(needed, self.longest or 0.0):.2f}",
            "count": self.count + 1,
            "time": int(time.time()),
        }
        self._write(self._record)

    def failed(self, reason: str) -> None:
        """Record that a save failed and why; keep the other values. Raises OSError."""
        self._write({**self._record, "failed": " ".join(reason.split())})

    def _write(self, record: dict[str, object]) -> None:
        if self._path:
            write_record(self._path, record)
