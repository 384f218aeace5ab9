"""Where the next attempt of a run starts: at its newest checkpoint, or at the first step."""

from __future__ import annotations

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.saved_checkpoints import last_checkpoint


def describe_resume(paths: RunPaths) -> str:
    """Say where the next attempt starts, as a verb phrase such as `resumes from step 22`.

    The data of the checkpoint is not read. Only the training library names steps reliably: a number
    in the name of a script's own checkpoint may be an epoch.
    """
    newest = last_checkpoint(RunRef(paths.folder.name, paths))
    if newest is None:
        uses_library = any(paths.resumed(name).exists() for name in paths.attempts())
        return "restarts from step 0" if uses_library else "starts"
    if newest.fault:
        return "resumes from the newest complete checkpoint"
    if newest.kind == "script" or newest.step is None:
        return f"resumes from its checkpoint {newest.name}"
    return f"resumes from step {newest.step}"
