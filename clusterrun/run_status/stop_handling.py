"""What a stop or requeue request to a run does, as far as its script is known to handle it."""

from __future__ import annotations

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.settings import read_settings


def handles_stop(paths: RunPaths) -> bool:
    """Return whether a run handles stop requests: its text, its spec or an attempt shows it."""
    is_known = read_settings(paths).get("handles_stop", 1)
    return bool(is_known) or any(paths.resumed(name).exists() for name in paths.attempts())


def describe_request(run: RunRef, request: str, effect: str) -> str:
    """Describe a request that was made: its effect, or that the script may not handle it."""
    if handles_stop(run.paths):
        return f"{request} requested: {effect}"
    return (
        f"{request} requested, but the script may not handle it: it uses neither "
        "clusterrun.training nor checkpoint.signal, and would train to its end; "
        f"`clusterrun cancel {run.run_id}` ends the run now, without a checkpoint"
    )
