"""`share: group`: what of a run folder its group may use, the logs to read and `stop` to write; all else is closed."""

from __future__ import annotations

import stat
from pathlib import Path

from clusterrun.run_folder.paths import RunPaths


def open_to_group(paths: RunPaths) -> None:
    """Open the logs and `stop` of a run to its folder's group; the job script does so for the folder of a task."""
    # a folder that hands its group down goes on doing so, which chmod(2) would end
    for folder in (paths.folder, paths.logs):
        folder.chmod(0o750 | (folder.stat().st_mode & stat.S_ISGID))
    paths.stop.chmod(0o660)
    (paths.folder / "output").mkdir(
        mode=0o700, exist_ok=True
    )  # where scripts write, whatever the umask of theirs


def closed_to_group(folder: Path) -> Path | None:
    """Return the first folder on the way to this one that only its owner can enter; None where there is none yet."""
    for place in (*reversed(folder.parents), folder):
        try:
            mode = place.stat().st_mode
        except OSError:
            return None
        if not mode & (stat.S_IXGRP | stat.S_IXOTH):
            return place
    return None
