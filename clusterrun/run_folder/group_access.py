"""Give a run folder's group what `share: group` promises.

The group may read the logs and write `stop`; all else stays closed.
"""

from __future__ import annotations

import stat
from pathlib import Path

from clusterrun.run_folder.paths import RunPaths


def open_to_group(paths: RunPaths) -> None:
    """Open a run's logs and `stop` to its folder's group.

    The job script does so for the folder of a task.
    """
    # a folder that hands its group down goes on doing so, which chmod(2) would end
    for folder in (paths.folder, paths.logs):
        folder.chmod(0o750 | (folder.stat().st_mode & stat.S_ISGID))
    paths.stop.chmod(0o660)
    (paths.folder / "output").mkdir(
        mode=0o700, exist_ok=True
    )  # where scripts write, whatever the umask of theirs


def find_closed_folder(folder: Path) -> Path | None:
    """Return the first folder on the path that only its owner can enter; None if there is none."""
    for place in (*reversed(folder.parents), folder):
        try:
            mode = place.stat().st_mode
        except OSError:
            return None
        if not mode & (stat.S_IXGRP | stat.S_IXOTH):
            return place
    return None
