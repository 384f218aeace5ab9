"""Takes away the checkpoints of a rehearsal that went well; all else of its run folders stays."""

from __future__ import annotations

import shutil
from contextlib import suppress

from clusterrun.rehearsal.observation import FollowedRun
from clusterrun.run_folder.removal import remove


def remove_checkpoints(followed: FollowedRun) -> int:
    """Remove a run's checkpoints, those in its own folder only; returns how many there were."""
    own = followed.run.paths.folder.resolve()
    followed.look()
    there = {one.path for one in followed.saved.values() if one.path.exists()}
    inside = [path for path in there if path.resolve().is_relative_to(own)]
    staging = followed.run.paths.folder / "staging"
    for path in inside:
        with suppress(OSError):
            remove(path, staging)
    shutil.rmtree(staging, ignore_errors=True)  # what was pruned, and is half removed
    return len(inside)
