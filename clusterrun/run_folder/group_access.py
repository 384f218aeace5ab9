"""The access of a run folder's group with `share: group`.

The group may read the logs and write to `stop`; everything else stays closed.
"""

from __future__ import annotations

import stat
from pathlib import Path

from clusterrun.run_folder.paths import RunPaths


def open_to_group(paths: RunPaths) -> None:
    """Open a run's logs and `stop` to the group of its folder.

    For the folder of an array task, the job script does this.
    """
    # keep the setgid bit, with which new files inherit the folder's group: chmod(2) would clear it
    for folder in (paths.folder, paths.logs):
        folder.chmod(0o750 | (folder.stat().st_mode & stat.S_ISGID))
    paths.stop.chmod(0o660)
    # scripts write their output there, whatever their umask
    (paths.folder / "output").mkdir(mode=0o700, exist_ok=True)


def find_closed_folder(folder: Path) -> Path | None:
    """Return the first folder on the path that only its owner can enter, or None."""
    for parent in (*reversed(folder.parents), folder):
        try:
            mode = parent.stat().st_mode
        except OSError:
            return None
        if not mode & (stat.S_IXGRP | stat.S_IXOTH):
            return parent
    return None
