"""The verdict on the resume of a script that saves its own checkpoints.

The verdict depends on the checkpoint that it was given, and on the one that it saved next.
"""

from __future__ import annotations

from dataclasses import replace

from clusterrun.rehearsal.observation import FollowedRun, SeenCheckpoint
from clusterrun.rehearsal.result import Rehearsal


def can_be_stopped(run: FollowedRun, *, saves_when_asked: bool) -> bool:
    """Return whether enough checkpoints are saved to judge the resume after a stop.

    With two checkpoints, the number of the next one shows whether the script restarted from the
    beginning. A script that saves on request saves the second one then; without numbers in the
    names, waiting for more does not help.
    """
    steps = {one.step for one in run.saved.values()}
    return len(steps) > 1 or steps == {None} or (bool(steps) and saves_when_asked)


def has_continued(run: FollowedRun) -> bool:
    """Return whether the second attempt saved a new checkpoint, or was given none."""
    return bool(run.attempts[1].resumed) and (
        _find_loaded_checkpoint(run) is None or _find_next_checkpoint(run) is not None
    )


def judge_checkpoints(run: FollowedRun, rehearsal: Rehearsal) -> Rehearsal:
    """Add the checkpoint from which the second attempt resumed, and what is wrong with it."""
    loaded, saved_next = _find_loaded_checkpoint(run), _find_next_checkpoint(run)
    if loaded is None:
        rehearsal.reasons.append("it restarted without a checkpoint: none matched checkpoint.path")
        return rehearsal
    if (
        saved_next
        and saved_next.step is not None
        and loaded.step is not None
        and saved_next.step < loaded.step
    ):
        what = f"it was given {loaded.path.name}, but the next one saved is {saved_next.path.name}"
        rehearsal.reasons.append(
            f"{what}: the script restarted from the beginning (checkpoint.resume sets how a "
            "checkpoint is passed to it)"
        )
    rehearsal.notes.append(
        "losses and weights were not compared: the content of the script's own checkpoints is "
        "unknown"
    )
    return replace(rehearsal, resumed_from_step=loaded.step)


def _find_loaded_checkpoint(run: FollowedRun) -> SeenCheckpoint | None:
    name = run.attempts[1].resumed.get("checkpoint", "")
    return next((one for one in run.saved.values() if str(one.path) == name), None)


def _find_next_checkpoint(run: FollowedRun) -> SeenCheckpoint | None:
    loaded = _find_loaded_checkpoint(run)
    loaded_step = None if loaded is None else loaded.step
    own = [
        one
        for one in run.saved.values()
        if one.attempt > 1 and (loaded_step is None or one.step != loaded_step)
    ]
    return min(own, key=lambda one: one.time, default=None)
