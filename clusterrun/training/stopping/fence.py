"""Whether a later attempt has taken over the run: then this one writes nothing more."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from clusterrun.run_folder.records import read_record

_PATIENCE = 2.0  # seconds between two looks at a file that may lie on a network


class Fenced(Exception):
    """A later attempt trains now; leave at once, and write nothing."""


class Fence:
    """Checks whether this attempt is still the `attempt` of the run's `current` record.

    A path of None, on all ranks but the main one, fences nothing.
    """

    def __init__(self, path: Path | None, attempt: int) -> None:
        self._path, self._attempt = path, attempt
        self._next_look = 0.0
        self._seen = False

    def seen(self, *, now: bool = False) -> bool:
        """Whether another attempt is current; once True, always True.

        The file is opened afresh every few seconds only, or `now`.
        """
        if not self._seen and (now or time.monotonic() >= self._next_look):
            self._next_look = time.monotonic() + _PATIENCE
            with suppress(
                OSError
            ):  # a file server that is away for a moment must not end a training run
                self._seen = self._other_attempt() is not None
        return self._seen

    def check(self) -> None:
        """Raise Fenced if another attempt is current, and OSError if that cannot be determined."""
        other = self._other_attempt()
        if other is not None:
            raise Fenced(f"attempt {other} has taken over")

    def _other_attempt(self) -> str | None:
        # NFS asks the server anew when a file is opened, not when it is only looked up.
        newest = read_record(self._path).get("attempt", "") if self._path else ""
        return newest if newest.isdecimal() and int(newest) != self._attempt else None
