"""The end of a log of any size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from clusterrun.files.reading import open_regular

WINDOW_BYTES = 16 << 20
"""Maximum number of bytes to read; the last lines of thousands of ranks take some MB."""
MAX_COUNTED_BYTES = 4 << 30
"""Bytes up to which lines are counted, at about 1 s per GB; longer logs get no line numbers."""
_CHUNK_BYTES = 4 << 20


@dataclass(frozen=True)
class Tail:
    """The end of a log."""

    text: str
    first: int | None
    """The number of its first line; None if not counted."""
    skipped: int
    """Number of bytes before it that were not read."""


def read_tail(path: Path, window: int = WINDOW_BYTES, counted: int = MAX_COUNTED_BYTES) -> Tail:
    """Return the last `window` bytes of a log, starting at a line. Raises OSError."""
    size = path.stat().st_size
    start = max(size - window, 0)
    with open_regular(path) as file:
        before = _count_lines(file, start) if start <= counted else None
        file.seek(start)
        data = file.read(window)
    if start:
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
        before = None if before is None else before + (1 if cut else 0)
    return Tail(
        data.decode("utf-8", errors="replace"), None if before is None else before + 1, start
    )


def _count_lines(file: IO[bytes], end: int) -> int:
    """Count the lines up to an offset."""
    count, left = 0, end
    while left and (piece := file.read(min(_CHUNK_BYTES, left))):
        count, left = count + piece.count(b"\n"), left - len(piece)
    return count
