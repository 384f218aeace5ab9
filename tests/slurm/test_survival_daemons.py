"""A run survives the controller's daemons.

Budget: 1 1/2 minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    assert_ended,
    assert_whole,
    causes,
    completes,
    hurry,
    preempt,
    reaches,
    story,
    survive,
    trained,
)

BACKGROUND = ()  # both tests of slurmctld use the same runs


@dataclass(frozen=True)
class Outages:
    """Two runs during slurmctld's outages: one that trained, and one that crashed meanwhile."""

    training: Submitted
    crashed: Submitted


@pytest.fixture(scope="module")
def outages(desk: Desk) -> Outages:
    """slurmctld is killed and started, then stopped and started, while two runs train."""
    training = survive(desk, "trains-on", args={"slow_at": [10, 10]})
    crashed = survive(
        desk, "unanswered", ranks=1, args={"slow_at": [10, 10], "crash_step": 10 * EVERY - 1}
    )
    reaches(training, 1, 10)
    reaches(crashed, 1, 10)
    desk.cluster.kill_daemon("slurmctld")
    trains_on(training)
    desk.cluster.start_daemon("slurmctld")
    until(lambda: desk.cluster.state(training.job_id) == "RUNNING", 60, "slurmctld responds")
    desk.cluster.stop_daemon("slurmctld")
    trains_on(training)
    hurry(crashed)
    until(lambda: "crash" in causes(crashed), 120, "it crashes")
    until(lambda: "scontrol requeue" in crashed.log(), 120, "its requeue fails")
    desk.cluster.start_daemon("slurmctld")
    hurry(training)
    completes(desk, training)
    completes(desk, crashed)
    return Outages(training, crashed)


def trains_on(run: Submitted) -> None:
    reaches(run, 1, trained(run.folder).steps[-1].step + 5)


def test_slurmctld_is_restarted_and_killed(outages: Outages) -> None:
    """Training continues while slurmctld is down; if it is killed, it may forget the job and start
    it again.
    """
    recorded = causes(outages.training)
    assert recorded[-1] == "finished", story(outages.training)
    assert_whole(outages.training, lost=EVERY, at_once=len(recorded) > 1)


def test_slurmctld_is_away_when_an_attempt_ends(desk: Desk, outages: Outages) -> None:
    """A crashed attempt retries its requeue until slurmctld responds."""
    assert_ended(desk, outages.crashed, "crash", "finished")
    assert_whole(outages.crashed, ranks=1, lost=EVERY)


@pytest.mark.extended
def test_slurmdbd_is_down(desk: Desk) -> None:
    """Without accounting a preempted run continues as with it."""
    desk.cluster.stop_daemon("slurmdbd")
    run = survive(desk, "unaccounted", args={"slow_at": [10]})
    reaches(run, 1, 10)
    preempt(desk, run)

    completes(desk, run)
    assert_ended(desk, run, "preemption", "finished")
    assert_whole(run)
