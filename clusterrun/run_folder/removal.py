"""Removal of folders by a rename and a delete, so that no reader sees one half removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MARK = ".trash-"
"""The prefix of a folder that is being removed; any process that finds one may delete it."""


def remove(path: Path, staging: Path | None = None) -> None:
    """Remove a file or folder after renaming it into `staging`, on the same file system.

    Without `staging`, it is renamed in its own folder. Of a symbolic link only the link is removed.
    The rest of an earlier, interrupted call is removed, too; a missing path is ignored. Raises
    OSError.
    """
    delete_trash(set_aside(path, staging))


def set_aside(path: Path, staging: Path | None = None) -> Path:
    """Rename a file or folder out of the way; return the new path, for `delete_trash`."""
    staging = staging or path.parent
    trash = path if path.name.startswith(MARK) else staging / f"{MARK}{path.name}"
    if trash != path and (path.exists() or path.is_symlink()):
        staging.mkdir(mode=0o700, exist_ok=True)
        delete_trash(trash)  # an earlier call may have left one of that name
        path.rename(trash)
    return trash


def delete_trash(trash: Path) -> None:
    """Delete a path that was set aside, if it exists."""
    if trash.is_dir() and not trash.is_symlink():
        shutil.rmtree(trash)
    else:
        trash.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Return a path's size on disk in bytes; follow no links, and count each file once."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_blocks * 512 if path.exists() or path.is_symlink() else 0
    seen, total = set(), 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                status = Path(folder, name).lstat()
            except FileNotFoundError:
                continue
            total += 0 if status.st_ino in seen else status.st_blocks * 512
            seen.add(status.st_ino)
    return total
