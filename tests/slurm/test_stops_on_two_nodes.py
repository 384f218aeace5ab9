"""More stops of runs on two nodes, for the table of generations (`stop_matrix.py`).

Budget: 3 minutes, all in `make extended`.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.slurm.desk import Desk, Submitted, until
from tests.slurm.light import ends, finishes, light, put, trains
from tests.slurm.survival import preempt, story, trainers_of

pytestmark = pytest.mark.extended


def crash(desk: Desk, name: str, node: str) -> Submitted:
    """Submit a run whose first attempt crashes on one node."""
    run = light(desk, name, slurm={"partition": "main"})
    put(desk, run, "crash-0001", node)
    until(lambda: ends(run) != [], 60, "the attempt crashes")
    return run


@pytest.mark.parametrize("node", ["0", "1"])
def test_a_crash_on_one_node(desk: Desk, node: str) -> None:
    """Slurm ends the other node's task; this is not a cancel, whatever words it uses."""
    run = crash(desk, f"crash-on-{node}", node)
    finishes(desk, run, 2)
    assert ends(run)[0] == "crash continue", story(run)
    assert "crashed with exit code 7" in desk.status(run)["attempts"][0]["summary"]


def test_a_killed_rank_on_the_second_node(desk: Desk) -> None:
    """Its node's launcher reports the signal, and the run restarts."""
    run = light(desk, "killed-rank", slurm={"partition": "main"})
    trains(run)
    second = [pid for pid in trainers_of(run, 1) if b"SLURM_NODEID=1\0" in environment(pid)]
    os.kill(max(second), signal.SIGKILL)
    finishes(desk, run, 2)
    assert ends(run)[0] == "crash continue", story(run)


def environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - one read
        return b"\0" + file.read()


def test_a_stop_in_the_pause_after_a_crash(desk: Desk) -> None:
    run = crash(desk, "stop-in-pause", "1")
    desk.cli("stop", run.run_id)
    assert desk.wait(run, 90) == "STOPPED", story(run)


def test_scancel_in_the_pause_after_a_crash(desk: Desk) -> None:
    run = crash(desk, "scancel-in-pause", "1")
    desk.cluster.run_as("alice", ["scancel", run.job_id])
    assert desk.wait(run, 60) == "CANCELLED", story(run)
    until(lambda: desk.jobs() == [], 30, "no job is left")


@pytest.mark.parametrize("partition", ["low", "low0", "lowc", "lowc0"])
def test_a_preemption_during_the_setup(desk: Desk, partition: str) -> None:
    """Before srun starts, the run continues: in its job, or in another one after CANCEL."""
    setup = 'echo staging; [ "$attempt" != 0001 ] || sleep 40'
    run = light(
        desk, f"setup-{partition}", slurm={"partition": partition}, environment={"setup": [setup]}
    )
    log = run.folder / "logs" / "attempt-0001.log"
    until(lambda: log.exists() and "staging" in log.read_text(), 60, "the setup has started")
    preempt(desk, run)
    finishes(desk, run, 2)
    assert ends(run)[0].startswith("preemption "), story(run)


def test_scancel_of_a_training(desk: Desk) -> None:
    """The run ends for good, and no job is left."""
    run = light(desk, "scancel")
    trains(run)
    desk.cluster.run_as("alice", ["scancel", run.job_id])
    assert desk.wait(run, 60) == "CANCELLED", story(run)
    assert ends(run) == ["cancel end"], story(run)
    until(lambda: desk.jobs() == [], 30, "no job is left")


def test_slurmd_of_the_second_node_is_killed(desk: Desk) -> None:
    """Slurm gives the job up, and requeues it; slurmd is started when it has."""
    run = light(desk, "slurmd", slurm={"partition": "main", "nodelist": "n[1-2]"})
    trains(run)
    desk.cluster.stop_slurmd("n2")
    try:
        until(lambda: desk.cluster.state(run.job_id) != "RUNNING", 90, "Slurm ends the job")
        time.sleep(3)
    finally:
        desk.cluster.start_slurmd("n2")
    finishes(desk, run, 2)
    assert ends(run)[0].startswith("node-failure "), story(run)


def test_a_run_folder_is_renamed_in_the_middle(desk: Desk) -> None:
    """The job ends within a minute, with a message in Slurm's log, and trains no further."""
    run = light(desk, "renamed", slurm={"partition": "main"})
    trains(run)
    moved = run.folder.with_name("renamed-by-hand")
    run.folder.rename(moved)
    try:
        desk.cluster.wait_state(run.job_id, "FAILED", "CANCELLED", "COMPLETED", timeout=120)
        text = "".join(path.read_text() for path in (moved / "logs").iterdir())
        assert "syntax error" not in text
        until(lambda: desk.jobs() == [], 30, "no job is left")
    finally:
        moved.rename(run.folder)
