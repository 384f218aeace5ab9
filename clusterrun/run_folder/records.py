"""Small files that are written atomically, most of them with one key=value per line; and locks."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clusterrun.files.control_characters import make_printable
from clusterrun.files.reading import read_text

_MAX_RECORD_BYTES = 1 << 20
_INTEGER = re.compile(r"-?[0-9]{1,15}")


def read_record(path: Path) -> dict[str, str]:
    """Return the values of a record, without control characters; empty if the file does not exist.

    Raises OSError, also for what is not a regular file of at most a megabyte.
    """
    try:
        text = make_printable(read_text(path, errors="replace", max_bytes=_MAX_RECORD_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {pair[0]: pair[1] for pair in pairs}


def write_record(path: Path, values: Mapping[str, object]) -> None:
    """Replace a record by a rename, so that readers see all of it or none; mode 0600."""
    write_whole(path, "".join(f"{key}={value}\n" for key, value in values.items()))


def write_whole(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace a file by a rename, after its content has been synced to disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[int]:
    """Hold a lock that child processes inherit: flock(2) belongs to the open file.

    Raises BlockingIOError without `wait` if another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield descriptor
    finally:
        os.close(descriptor)


def whole(text: str | None) -> int | None:
    """Return the integer that a record's value consists of, or None."""
    return int(text) if text and _INTEGER.fullmatch(text) else None


def number(text: str | None) -> float | None:
    """Return the number that a record's value consists of, or None."""
    try:
        return float(text) if text else None
    except ValueError:
        return None
