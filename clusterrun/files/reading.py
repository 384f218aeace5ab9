"""Read a regular file up to a limit.

A FIFO that nobody writes to, or a device, in the place of a file would block a reader or fill its
memory. Anyone who may write into a shared folder can put one there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TYPE_CHECKING = False  # importing `typing` costs a start 6 ms
if TYPE_CHECKING:
    from typing import IO

MAX_BYTES = 64 << 20
"""The largest file that is read as a whole, unless a reader has a limit of its own."""
_PIECE_BYTES = 1 << 16


class UnreadableFileError(OSError):
    """A file that is not a regular one, or that is larger than a reader's limit."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(0, what, str(path))
        self.strerror = what


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading. Raises OSError, UnreadableFileError for any other file."""
    # without O_NONBLOCK, opening a FIFO that nobody writes to blocks
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(kind):
            what = "is a directory" if stat.S_ISDIR(kind) else "is not a regular file"
            raise UnreadableFileError(path, what)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a regular file's content. Raises OSError, UnreadableFileError if it is too large."""
    content = bytearray()
    with open_regular(path) as file:
        # in pieces, because a read of many bytes allocates all of them for a small file, too
        while piece := file.read(_PIECE_BYTES):
            content += piece
            if len(content) > max_bytes:
                raise UnreadableFileError(path, f"is larger than {max_bytes} bytes")
    return bytes(content)


def read_text(path: Path, *, errors: str = "strict", max_bytes: int = MAX_BYTES) -> str:
    """Return a regular file's text, read as UTF-8.

    Raises OSError, UnicodeDecodeError, and UnreadableFileError if it is too large.
    """
    return read_bytes(path, max_bytes).decode("utf-8", errors=errors)


def describe_fault(error: Exception) -> str:
    """Return the file and what is wrong with it, in one line."""
    if isinstance(error, OSError):
        what = (error.strerror or str(error)).lower()
        return f"{error.filename}: {what}" if error.filename else what
    return " ".join(str(error).split())


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False for a text that cannot be a path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; False for a text that cannot be a path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
