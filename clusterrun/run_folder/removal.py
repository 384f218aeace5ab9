"""Remove folders so that nobody sees one half removed: rename it first, then delete it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MARK = ".trash-"
"""How a folder's name begins from the moment it is given up; who finds one may finish it."""


def remove(path: Path, beside: Path | None = None) -> None:
    """Remove a file or folder, renamed first into `beside`, on the same file system.

    The default is its own folder.

    Of a link the link alone goes. What an earlier, interrupted call left is finished; what is not
    there is no mistake. Raises OSError.
    """
    delete_trash(set_aside(path, beside))


def set_aside(path: Path, beside: Path | None = None) -> Path:
    """Rename a file or folder out of the way; return the new path, for `finish` to remove."""
    beside = beside or path.parent
    trash = path if path.name.startswith(MARK) else beside / f"{MARK}{path.name}"
    if trash != path and (path.exists() or path.is_symlink()):
        beside.mkdir(mode=0o700, exist_ok=True)
        delete_trash(trash)  # of that name there may be one that is half removed
        path.rename(trash)
    return trash


def delete_trash(trash: Path) -> None:
    """Remove what was given up; what is not there is no mistake."""
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash)
    else:
        trash.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return a path's bytes on disk; no link is followed, and a file is counted once."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_blocks * 512 if path.exists() or path.is_symlink() else 0
    seen, total = set(), 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                found = Path(folder, name).lstat()
            except FileNotFoundError:
                continue
            total += 0 if found.st_ino in seen else found.st_blocks * 512
            seen.add(found.st_ino)
    return total
