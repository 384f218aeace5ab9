"""Takes away the checkpoints of a rehearsal that went well; all else of its run folders stays."""

from __future__ import annotations

import shutil
from pathlib import Path

from clusterrun.rehearsal.seen import Followed


def remove_checkpoints(followed: Followed) -> int:
    """Remove a run's checkpoints, those in its own folder only; returns how many there were."""
    own = followed.run.paths.folder.resolve()
    followed.look()
    there = {one.path for one in followed.saved.values() if one.path.exists()}
    inside = [path for path in there if path.resolve().is_relative_to(own)]
    for path in inside:
        _remove(path)
    shutil.rmtree(followed.run.paths.folder / "staging", ignore_errors=True)  # what was pruned, and is half removed
    return len(inside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
