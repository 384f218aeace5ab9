"""Whether a running attempt looks alive, from its `progress` record and the age of its log."""

from __future__ import annotations

import time

from clusterrun.diagnosis.answer import Liveness
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole


def judge_progress(paths: RunPaths, attempt: Attempt, now: float | None = None) -> Liveness:
    """Judge an attempt by the age of its last progress record, and by how long it may be silent."""
    now = time.time() if now is None else now
    progress = read_record(paths.progress)
    reported = whole(progress.get("time"))
    if reported is None or (attempt.started_at is not None and reported < attempt.started_at):
        return _judge_by_log(paths, attempt, now)
    silent = max(int(now) - reported, 0)
    doing, patience = progress.get("doing", ""), whole(progress.get("patience"))
    step = f"at step {progress['step']}" if progress.get("step") else "before its first step"
    words = (
        f"{step}, doing {doing}; its last word is {silent} s old"
        if doing
        else f"{step}; its last word is {silent} s old"
    )
    if not patience:
        return Liveness(
            None, f"{words}, and it has not said how long it may be silent", silent, doing, patience
        )
    if silent <= patience:
        return Liveness(
            True, f"{words}, and it may be silent for {patience} s", silent, doing, patience
        )
    return Liveness(
        False,
        f"{words}, longer than the {patience} s that it may be silent: it may hang",
        silent,
        doing,
        patience,
    )


def _judge_by_log(paths: RunPaths, attempt: Attempt, now: float) -> Liveness:
    """Judge an attempt that has recorded no progress by the age of its log."""
    start = (
        ""
        if attempt.started_at is None
        else f"attempt {attempt.number} began {max(int(now) - attempt.started_at, 0)} s ago, and "
    )
    try:
        quiet = max(int(now - paths.log(f"{attempt.number:04d}").stat().st_mtime), 0)
    except OSError:
        return Liveness(None, f"{start}has printed nothing yet", None, "", None)
    return Liveness(
        None, f"{start}has told no step yet; its last line is {quiet} s old", None, "", None
    )
