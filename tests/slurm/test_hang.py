"""A run that hangs is terminated and continues: one rank hangs, its node, or the daemon of Slurm
that srun waits for.

Budget: 3 minutes. All runs are active at once: most of the time is waiting for timeouts.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from clusterrun.diagnosis.stacks import read_hang_locations
from clusterrun.run_logs.attribution import attribute_lines
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    assert_ended,
    assert_whole,
    completes,
    ended,
    reaches,
    survive,
    trainers_of,
)

BACKGROUND = ("lanes",)
STEP = EVERY + EVERY // 2
PATIENCE = "40s"  # with a step; without one the training library allows hours
LEFT, RIGHT = {"nodelist": "n[1-2]"}, {"nodelist": "n[3-4]"}


@pytest.fixture(scope="module")
def lanes(desk: Desk) -> Iterator[dict[str, Future[Submitted]]]:
    """The outcome of each scenario, by name."""
    with ThreadPoolExecutor(4) as pool:
        scenarios = (a_rank_hangs, a_node_is_rebooted, slurmstepd_is_killed, the_tasks_are_stopped)
        yield {scenario.__name__: pool.submit(scenario, desk) for scenario in scenarios}


def a_rank_hangs(desk: Desk) -> Submitted:
    """One rank sleeps for ever during its training, and the other waits for it."""
    run = survive(
        desk,
        "hangs",
        slurm=LEFT,
        hang=PATIENCE,
        args={"crash_step": STEP, "crash_how": "hang", "crash_rank": 1},
    )
    completes(desk, run, 400)
    return run


def a_node_is_rebooted(desk: Desk) -> Submitted:
    """A node reboots before Slurm notices, without its task; the other node waits for it."""
    run = lockstep(desk, "rebooted", {**RIGHT, "nodes": 2})
    desk.cluster.crash("n4")
    desk.cluster.boot("n4")
    completes(desk, run, 400)
    return run


def slurmstepd_is_killed(desk: Desk) -> Submitted:
    """The step's daemon is killed, and its task survives."""
    run = survive(
        desk,
        "no-slurmstepd",
        ranks=1,
        slurm={"nodelist": "n1"},
        hang=PATIENCE,
        args={"slow_at": [EVERY + 5]},
    )
    reaches(run, 1, EVERY + 5)
    desk.cluster.run_on("n1", ["pkill", "-KILL", "-f", rf"^slurmstepd: \[{run.job_id}\.0\]"])
    completes(desk, run, 400)
    return run


def the_tasks_are_stopped(desk: Desk) -> Submitted:
    """The step is stopped by a signal for longer than the hang timeout, and then continued."""
    run = lockstep(desk, "stopped", {"nodelist": "n2"})
    scancel = ["scancel", "--signal", "STOP", f"{run.job_id}.0"]
    desk.cluster.run_as("alice", scancel)
    until(lambda: "not a hang" in run.log(), 150, "the hang is detected")
    desk.cluster.run_as("alice", [word.replace("STOP", "CONT") for word in scancel])
    completes(desk, run, 400)
    return run


def lockstep(desk: Desk, name: str, slurm: dict[str, Any]) -> Submitted:
    """Submit a command that does not use the training library, and wait until it runs."""
    own = {"path": "{run_dir}/output/state"}
    run = desk.submit(
        name, command=f"bash {SCRIPTS / 'lockstep.sh'}", slurm=slurm, hang=PATIENCE, checkpoint=own
    )
    state = run.folder / "output" / "state"
    until(lambda: state.exists() and int(state.read_text() or 0) > 2, 60, f"{name} is under way")
    return run


def test_a_rank_that_hangs_is_terminated(desk: Desk, lanes: dict[str, Future[Submitted]]) -> None:
    """The stacks of both ranks are in the log, and the run continues from its last checkpoint."""
    run = lanes["a_rank_hangs"].result()
    assert_ended(desk, run, "hang", "finished")
    assert "no progress for" in ended(run, 1)["reason"]
    stacks = {part[0]: part for part in run.log().split("---- rank ")[1:]}
    assert "in crash" in stacks["1"]
    assert "in train" in stacks["0"]
    assert "in crash" not in stacks["0"]
    stood = {
        place.rank: place for place in read_hang_locations(attribute_lines(run.log().split("\n")))
    }  # as `clusterrun why` shows it
    assert "survivor.py" in stood[1].innermost_call
    assert "/torch/" in stood[0].innermost_call
    assert stood[0].script_call.startswith("train_batch (")
    assert (stood[0].node, stood[1].node) == ("n1", "n2")
    assert_whole(run, lost=EVERY)


def test_a_rebooted_node_is_detected(desk: Desk, lanes: dict[str, Future[Submitted]]) -> None:
    """srun would wait for its task for ever: it is terminated, the node is named, and the run
    continues.
    """
    run = lanes["a_node_is_rebooted"].result()
    assert_ended(desk, run, "hang", "finished")
    assert "no response from n4" in ended(run, 1)["reason"]
    assert (run.folder / "output" / "0002-30-1").exists()
    assert not (run.folder / "output" / "0002-1-1").exists(), (
        "it did not resume from its checkpoint"
    )


def test_a_killed_slurmstepd_is_detected(desk: Desk, lanes: dict[str, Future[Submitted]]) -> None:
    """Nobody reports to srun how the task ended: the run continues anyway, and no process of the
    first attempt survives.
    """
    run = lanes["slurmstepd_is_killed"].result()
    assert_ended(desk, run, "hang", "finished")
    assert not trainers_of(run, 1)
    assert_whole(run, ranks=1, lost=EVERY)


def test_stopped_tasks_are_no_hang(desk: Desk, lanes: dict[str, Future[Submitted]]) -> None:
    """A run that somebody has stopped with a signal does not hang."""
    run = lanes["the_tasks_are_stopped"].result()
    assert_ended(desk, run, "finished")
