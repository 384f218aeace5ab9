"""At which step a run must resume to survive a rehearsal."""

from __future__ import annotations

import pytest

from clusterrun.rehearsal.result import Rehearsal
from clusterrun.rehearsal.verdict import judge_resume


@pytest.mark.parametrize(
    ("saved_step", "back", "first", "reason"),
    [
        (15, 15, 16, ""),
        (15, 0, 1, "restarted from step 0, although step 15 was saved"),
        (15, 10, 11, "resumed from step 10, although step 15 was saved"),
        (15, 15, 1, "but the next step was 1"),
        (15, 15, 17, "but the next step was 17"),
        (15, 15, None, ""),
    ],
)
def test_the_first_step_after_a_resume(
    saved_step: int, back: int, first: int | None, reason: str
) -> None:
    """It must follow the last saved step."""
    rehearsal = Rehearsal(
        "job",
        stopped_at_step=15,
        saved_step=saved_step,
        resumed_from_step=back,
        first_step_after=first,
    )
    judge_resume(rehearsal)
    assert len(rehearsal.reasons) == bool(reason)
    assert reason in "".join(rehearsal.reasons)


def test_lost_steps_are_noted() -> None:
    """A run that was killed before it could save resumes from an earlier step."""
    rehearsal = Rehearsal(
        "job", stopped_at_step=18, saved_step=10, resumed_from_step=10, first_step_after=11
    )
    judge_resume(rehearsal)
    assert rehearsal.reasons == []
    assert rehearsal.notes == ["lost 8 steps: stopped at step 18, but the last one saved is 10"]
