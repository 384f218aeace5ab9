"""A progress bar for long work, on stderr if that is a terminal; removed at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes the number of bytes done and the total."""
    bar = _Bar(what)
    try:
        yield bar.update if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else _ignore
    finally:
        bar.close()


def _ignore(done: int, total: int) -> None:
    """Ignore the progress."""


class _Bar:
    """A bar that is drawn at its first update, so that quick work never imports rich."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._drawn: Progress | None = None

    def update(self, done: int, total: int) -> None:
        if self._drawn is None:
            self._drawn = self._start(total)
        self._drawn.update(self._drawn.task_ids[0], completed=done)

    def _start(self, total: int) -> Progress:
        from rich import progress as parts  # noqa: PLC0415 - only for a terminal
        from rich.console import Console  # noqa: PLC0415 - same reason

        console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")))
        columns = (
            parts.TextColumn(self._what),
            parts.BarColumn(),
            parts.DownloadColumn(),
            parts.TimeRemainingColumn(),
        )
        bar = parts.Progress(*columns, console=console, transient=True)
        bar.add_task(self._what, total=total)
        bar.start()
        return bar

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
