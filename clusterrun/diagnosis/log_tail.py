"""The end of a log, however long the log is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

WINDOW = 16 << 20
"""Bytes that are read of a log. Thousands of ranks that all say the same at the end fill some MB."""
COUNTED = 4 << 30
"""Bytes of which lines are counted, about a second a GB; of longer logs the numbers of the lines are not known."""
_PIECE = 4 << 20


@dataclass(frozen=True)
class Tail:
    """The end of a log."""

    text: str
    first: int | None
    """The number of its first line; None where that was not counted."""
    skipped: int
    """Bytes before it that were not read."""


def read_tail(path: Path, window: int = WINDOW, counted: int = COUNTED) -> Tail:
    """Return the last `window` bytes of a log, from the begin of a line on. Raises OSError where it cannot be read."""
    size = path.stat().st_size
    start = max(size - window, 0)
    with path.open("rb") as file:
        before = _lines(file, start) if start <= counted else None
        file.seek(start)
        data = file.read(window)
    if start:
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
        before = None if before is None else before + (1 if cut else 0)
    return Tail(
        data.decode("utf-8", errors="replace"), None if before is None else before + 1, start
    )


def _lines(file: IO[bytes], end: int) -> int:
    """Count the lines up to a place."""
    found, left = 0, end
    while left and (piece := file.read(min(_PIECE, left))):
        found, left = found + piece.count(b"\n"), left - len(piece)
    return found
