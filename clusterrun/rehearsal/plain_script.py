"""Judge the resume of a script that keeps its own checkpoints.

What counts is which checkpoint it was given, and what it saved next.
"""

from __future__ import annotations

from dataclasses import replace

from clusterrun.rehearsal.observation import FollowedRun, SeenCheckpoint
from clusterrun.rehearsal.result import Rehearsal


def can_be_stopped(run: FollowedRun, *, saves_when_asked: bool) -> bool:
    """Whether enough is saved for a stop whose return can be judged.

    With two checkpoints, a script that begins at the start gives itself away by the number of its
    first. One that saves when it is asked makes the second then; where names have no numbers, there
    is nothing to wait for.
    """
    steps = {one.step for one in run.saved.values()}
    return len(steps) > 1 or steps == {None} or (bool(steps) and saves_when_asked)


def has_continued(run: FollowedRun) -> bool:
    """Return whether the second attempt saved a new checkpoint, or was given none."""
    return bool(run.attempts[1].resumed) and (
        _checkpoint_given(run) is None or _checkpoint_saved_next(run) is not None
    )


def judge_checkpoints(run: FollowedRun, found: Rehearsal) -> Rehearsal:
    """Say with what the second attempt came back, and what is wrong with that."""
    handed, new = _checkpoint_given(run), _checkpoint_saved_next(run)
    if handed is None:
        found.reasons.append(
            "it was started again without a checkpoint: checkpoint.path matched none"
        )
        return found
    if new and new.step is not None and handed.step is not None and new.step < handed.step:
        what = f"it was handed {handed.path.name}, and the next that it saved is {new.path.name}"
        found.reasons.append(
            f"{what}: the script began at the start (checkpoint.resume says how it is handed over)"
        )
    found.notes.append(
        "losses and weights were not compared: what the script's own checkpoints hold, only it "
        "knows"
    )
    return replace(found, resumed_from_step=handed.step)


def _checkpoint_given(run: FollowedRun) -> SeenCheckpoint | None:
    name = run.attempts[1].resumed.get("checkpoint", "")
    return next((one for one in run.saved.values() if str(one.path) == name), None)


def _checkpoint_saved_next(run: FollowedRun) -> SeenCheckpoint | None:
    handed = _checkpoint_given(run)
    again = None if handed is None else handed.step
    own = [
        one
        for one in run.saved.values()
        if one.attempt > 1 and (again is None or one.step != again)
    ]
    return min(own, key=lambda one: one.time, default=None)
