"""Whether a running attempt makes progress, from its `progress` record and its log."""

from __future__ import annotations

import time

from clusterrun.diagnosis.answer import Liveness
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_status.activities import ACTIVITIES


def judge_progress(paths: RunPaths, attempt: Attempt, now: float | None = None) -> Liveness:
    """Judge an attempt by the age of its last progress record and its hang timeout."""
    now = time.time() if now is None else now
    progress = read_record(paths.progress)
    reported = whole(progress.get("time"))
    if reported is None or (attempt.started_at is not None and reported < attempt.started_at):
        return _judge_by_log(paths, attempt, now)
    silent = max(int(now) - reported, 0)
    doing, patience = progress.get("doing", ""), whole(progress.get("patience"))
    step = f"at step {progress['step']}" if progress.get("step") else "before its first step"
    words = ACTIVITIES.get(doing, "") if progress.get("step") or doing != "start" else ""
    activity = f" ({words})" if words else ""
    words = f"{step}{activity}, last progress {silent} s ago"
    if not patience:
        return Liveness(None, f"{words}; it has reported no hang timeout", silent, doing, patience)
    if silent <= patience:
        return Liveness(
            True, f"{words}; it counts as hung after {patience} s", silent, doing, patience
        )
    return Liveness(
        False,
        f"{words}; longer than its hang timeout of {patience} s, so it may hang",
        silent,
        doing,
        patience,
    )


def _judge_by_log(paths: RunPaths, attempt: Attempt, now: float) -> Liveness:
    """Judge an attempt without a progress record by the age of its log."""
    start = (
        ""
        if attempt.started_at is None
        else f"attempt {attempt.number} started {max(int(now) - attempt.started_at, 0)} s ago, and "
    )
    try:
        quiet = max(int(now - paths.log(f"{attempt.number:04d}").stat().st_mtime), 0)
    except OSError:
        return Liveness(None, f"{start}has printed nothing yet", None, "", None)
    return Liveness(
        None, f"{start}has reported no step yet; its last output is {quiet} s old", None, "", None
    )
