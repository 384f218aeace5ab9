"""The `saves` record: the newest checkpoint of the run, and how long saving takes."""

from __future__ import annotations

import time
from pathlib import Path

from clusterrun.run_folder.records import number, read_record, whole, write_record


class Saves:
    """Counts a run's saves over all attempts; with a path of None the count is in memory only.

    All times are wall clock seconds. Only the main process may write.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._record: dict[str, object] = dict(read_record(path)) if path else {}
        self._record.pop("failed", None)

    @property
    def last(self) -> float | None:
        """How long training stood still for the last save; None before the first.

        For an asynchronous one at least a tenth of the time until it was published: what is never
        saved more often than every ten times this long has always finished the one before.
        """
        whole, stall = (number(str(self._record.get(key, ""))) for key in ("seconds", "stall"))
        return whole if whole is None or stall is None else max(stall, whole / 10)

    @property
    def longest(self) -> float | None:
        """Time that a stop may need to save, by the longest save so far; None before the first."""
        return number(str(self._record.get("longest", "")))

    @property
    def count(self) -> int:
        """How many checkpoints the run has published."""
        return whole(str(self._record.get("count", ""))) or 0

    def published(
        self, checkpoint: str, step: int, seconds: float, stall: float | None = None
    ) -> None:
        """Record a published checkpoint and how many seconds its save took. Raises OSError.

        `stall` is how long training stood still for it, where it was asynchronous. A stop may have
        to wait for such a one before it can save itself, so `longest`, by which the job script asks
        early enough, counts it twice.
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
        """Write down that a save failed and why; the rest stays as it was. Raises OSError."""
        self._write({**self._record, "failed": " ".join(reason.split())})

    def _write(self, record: dict[str, object]) -> None:
        if self._path:
            write_record(self._path, record)
