"""The `saves` record: the newest checkpoint of the run, and how long saving takes."""

from __future__ import annotations

import time
from pathlib import Path

from clusterrun.records import number, read_record, whole, write_record


class Saves:
    """Counts a run's saves over all attempts; a path of None, without clusterrun, keeps the count in memory only.

    All times are wall clock seconds. Only the main process may write.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._record: dict[str, object] = dict(read_record(path)) if path else {}
        self._record.pop("failed", None)

    @property
    def last(self) -> float | None:
        """How long the last save took; None before the first."""
        return number(str(self._record.get("seconds", "")))

    @property
    def longest(self) -> float | None:
        """How long the longest save of the run took; None before the first."""
        return number(str(self._record.get("longest", "")))

    @property
    def count(self) -> int:
        """How many checkpoints the run has published."""
        return whole(str(self._record.get("count", ""))) or 0

    def published(self, checkpoint: str, step: int, seconds: float) -> None:
        """Write down a checkpoint that is published. Raises OSError."""
        self._record = {
            "checkpoint": checkpoint,
            "step": step,
            "seconds": f"{seconds:.2f}",
            "longest": f"{max(seconds, self.longest or 0.0):.2f}",
            "count": self.count + 1,
            "time": int(time.time()),
        }
        self._write(self._record)

    def failed(self, reason: str) -> None:
        """Write down that a save failed and why; the rest stays as it was. Raises OSError."""
        self._write({**self._record, "failed": " ".join(reason.split())})

    def _write(self, record: dict[str, object]) -> None:
        if self._path:
            write_record(self._path, record)
