"""The fence of a run: once a later attempt has taken over, this one no longer writes."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from clusterrun.run_folder.records import read_record

_CHECK_INTERVAL_S = 2.0  # because the file may be on a network file system


class Fenced(Exception):
    """A later attempt has taken over; exit at once, and write nothing."""


class Fence:
    """Checks whether this attempt is still the `attempt` in the run's `current` record.

    With a path of None, on all ranks but the main one, it is never fenced.
    """

    def __init__(self, path: Path | None, attempt: int) -> None:
        self._path, self._attempt = path, attempt
        self._next_check = 0.0
        self._is_fenced = False

    def is_fenced(self, *, now: bool = False) -> bool:
        """Return whether another attempt is current; once True, always True.

        The file is reopened only every few seconds, or `now`.
        """
        if not self._is_fenced and (now or time.monotonic() >= self._next_check):
            self._next_check = time.monotonic() + _CHECK_INTERVAL_S
            # a file server that is briefly unavailable must not end the training
            with suppress(OSError):
                self._is_fenced = self._find_other_attempt() is not None
        return self._is_fenced

    def check(self) -> None:
        """Raise Fenced if another attempt is current, and OSError if that cannot be determined."""
        other = self._find_other_attempt()
        if other is not None:
            raise Fenced(f"attempt {other} has taken over")

    def _find_other_attempt(self) -> str | None:
        # NFS queries the server when a file is opened, not when it is only looked up.
        newest = read_record(self._path).get("attempt", "") if self._path else ""
        return newest if newest.isdecimal() and int(newest) != self._attempt else None
