"""A run survives crashes, within its crash budget, and unless the training script forbids it.

Budget: 2 minutes. Most of it is waiting for the pauses after crashes, so most runs are active at
once.
"""

from __future__ import annotations

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    assert_ended,
    assert_whole,
    causes,
    completes,
    ended,
    preempt,
    story,
    survive,
    trained,
    trainers_of,
)

BACKGROUND = ("crashing", "crashed", "killed")
STEP = EVERY + EVERY // 2  # where ranks crash: half an interval after the first checkpoint
ASIDE, THERE = (
    {"exclude": "n4"},
    {"nodelist": "n4"},
)  # the nodes without preemption, and the one with it


@pytest.fixture(scope="module")
def crashing(desk: Desk) -> Submitted:
    """A run that crashes at the same step in each of its attempts."""
    args = {"crash_step": STEP, "crash_attempts": 99}
    return survive(desk, "crashing", ranks=1, slurm=ASIDE, args=args, requeue={"crashes": 2})


@pytest.fixture(scope="module")
def crashed(desk: Desk) -> dict[str, Submitted]:
    """Two runs in which one rank crashes once, by what the other rank does then."""
    args = {"crash_step": STEP, "crash_rank": 1}
    return {
        "goes-on": survive(desk, "crash-goes-on", slurm=ASIDE, args=args, real_launch=True),
        "hangs": survive(desk, "crash-hangs", slurm=ASIDE, args={**args, "hang_others": True}),
    }


@pytest.fixture(scope="module")
def killed(desk: Desk) -> Submitted:
    """A run whose only rank receives SIGKILL."""
    return survive(
        desk, "killed", ranks=1, slurm=ASIDE, args={"crash_step": STEP, "crash_how": "sigkill"}
    )


@pytest.mark.parametrize("other", ["goes-on", "hangs"])
def test_one_rank_crashes(desk: Desk, crashed: dict[str, Submitted], other: str) -> None:
    """One rank of two crashes; the rank on the other node is terminated too, and the run resumes
    from its checkpoint.
    """
    run = crashed[other]
    until((run.folder / "events" / "attempt-0001.end").exists, 120, "the first attempt ends")
    until(lambda: not trainers_of(run, 1) or len(causes(run)) > 1, 60, "its training processes end")
    assert not trainers_of(run, 1), "the first attempt's processes live while the second one trains"

    completes(desk, run)
    assert_ended(desk, run, "crash", "finished")
    assert "RuntimeError: this rank has had enough" in run.log()
    assert_whole(run, lost=EVERY)
    assert trained(run.folder).lost() == [STEP - EVERY]


def test_a_rank_that_is_killed(desk: Desk, killed: Submitted) -> None:
    """A rank that dies of SIGKILL, as by the kernel's out-of-memory killer, has crashed."""
    completes(desk, killed)
    assert_ended(desk, killed, "crash", "finished")
    assert_whole(killed, ranks=1, lost=EVERY)


def test_a_preemption_in_the_pause_after_a_crash(desk: Desk) -> None:
    """Slurm and the run both requeue it; it restarts once."""
    run = survive(desk, "crash-preempted", ranks=1, slurm=THERE, args={"crash_step": STEP})
    until(lambda: causes(run) == ["crash"], 120, "it crashes")
    preempt(desk, run)
    completes(desk, run)
    assert_ended(desk, run, "crash", "finished")
    assert_whole(run, ranks=1, lost=EVERY)


def test_the_training_script_forbids_a_restart(desk: Desk) -> None:
    """A run that must not be restarted is not, and its reason is shown."""
    run = survive(
        desk,
        "forbidden",
        args={"crash_step": STEP, "crash_how": "must_not_restart", "crash_rank": 1},
    )
    assert desk.wait(run, 120) == "FAILED", story(run)
    assert_ended(desk, run, "no-restart")
    assert "the data is gone" in ended(run, 1)["reason"]
    assert "the data is gone" in desk.status(run)["reason"]
    assert not any(run.job_id in line for line in desk.jobs())


def test_exit_code_93_forbids_a_restart(desk: Desk) -> None:
    """A script that exits with code 93 is not restarted."""
    run = survive(desk, "ninety-three", ranks=1, args={"crash_step": STEP, "crash_how": "exit93"})
    assert desk.wait(run, 120) == "FAILED", story(run)
    assert_ended(desk, run, "no-restart")


def test_a_crash_loop_ends(desk: Desk, crashing: Submitted) -> None:
    """A run that crashes at the same step each time gives up when its budget is used, with a
    message.
    """
    assert desk.wait(crashing, 240) == "FAILED", story(crashing)
    assert_ended(desk, crashing, *["crash"] * 3)
    assert [ended(crashing, attempt)["next"] for attempt in (1, 2, 3)] == [
        "continue",
        "continue",
        "end",
    ]
    assert trained(crashing.folder).lost() == [STEP - EVERY] * 2
    assert "3 crashes" in desk.status(crashing)["reason"]
    assert not any(crashing.job_id in line for line in desk.jobs())
