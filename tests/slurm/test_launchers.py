"""The launchers torchrun and srun: ranks, requeue and resume, logs by rank, and crashes.

Lightning itself is not installed: the script reads Slurm's variables as Lightning does.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.slurm.desk import SCRIPTS, Desk, Submitted
from tests.slurm.light import counted, ends, trains
from tests.slurm.survival import assert_ended, completes, preempt, story

BACKGROUND = ("by_torchrun", "by_srun")
LAST = 400
TWO_BY_TWO: dict[str, Any] = {
    "script": str(SCRIPTS / "ranks.py"),
    "nproc_per_node": 2,
    "tee": 3,
    "slurm": {"nodes": 2, "gpus-per-node": 2},
    "accelerate": {"use_cpu": True},
    "checkpoint": {
        "path": "{run_dir}/output/step-*.ckpt",
        "resume": "--ckpt_path {checkpoint}",
        "signal": "USR1",
    },
}
# A rank that fails at once while the others sleep.
FAILS = """import os, time
if os.environ["SLURM_PROCID"] == "3":
    raise RuntimeError("broken")
time.sleep(600)
"""


@pytest.fixture(scope="module")
def by_torchrun(desk: Desk) -> Submitted:
    return desk.submit("by-torchrun", launcher="torchrun", args=["env", str(LAST)], **TWO_BY_TWO)


@pytest.fixture(scope="module")
def by_srun(desk: Desk) -> Submitted:
    options = {"mpi": "none", "cpu-bind": "none", "overcommit": True}
    return desk.submit(
        "by-srun",
        launcher="srun",
        args=["slurm", str(LAST)],
        srun_options=options,
        **TWO_BY_TWO,
    )


@pytest.mark.parametrize("fixture", BACKGROUND)
def test_a_launcher_survives_a_preemption(
    request: pytest.FixtureRequest, desk: Desk, fixture: str
) -> None:
    """Four ranks on two nodes save at the stop request, and the next attempt resumes from there."""
    run = request.getfixturevalue(fixture)
    trains(run)
    preempt(desk, run)
    completes(desk, run)
    assert_ended(desk, run, "preemption", "finished")
    steps = [step for _, step in counted(run)]
    assert steps == [*range(1, LAST + 1)], story(run)
    for attempt in (1, 2):
        found = sorted(line for line in run.log(attempt).splitlines() if " of 4, local " in line)
        assert [line.partition(" on ")[0] for line in found] == [
            f"[rank{rank}]: rank {rank} of 4, local {rank % 2}" for rank in range(4)
        ]
        assert [line[-2:] for line in found] == ["n1", "n1", "n2", "n2"]
    assert "rank 3 of 4" in desk.cli("logs", run.run_id, "--rank", "3").stdout


def test_a_crashed_task_ends_the_others(desk: Desk) -> None:
    """Rank 3 raises an error; the other three end within seconds, and `why` names it."""
    script = desk.write("fails.py", FAILS)
    values = {**TWO_BY_TWO, "script": str(script), "requeue": {"on": []}, "checkpoint": {}}
    run = desk.submit("one-fails", launcher="srun", **values)
    assert desk.wait(run) == "FAILED", story(run)
    assert ends(run) == ["crash end"]
    reasons = desk.cli("why", run.run_id, check=False).stdout
    assert all(word in reasons for word in ("rank 3", "n2")), f"{reasons}\n{story(run)}"
    assert "another task has failed; terminating local ranks" in run.log()


def test_a_person_stops_all_tasks(desk: Desk) -> None:
    """`stop` reaches every rank, also on the first node."""
    run = desk.submit("stopped", launcher="srun", args=["slurm", "100000"], **TWO_BY_TWO)
    trains(run)
    desk.cli("stop", run.run_id)
    assert desk.wait(run) == "STOPPED", story(run)
    assert len([*(run.folder / "output").glob("step-*.ckpt")]) == 1


def test_a_command_finds_the_rendezvous(desk: Desk) -> None:
    """The variables that launchers are started with, and a function, on each node."""
    words = "$NNODES $NODE_RANK $NPROC_PER_NODE $MASTER_ADDR:$MASTER_PORT"
    lines = 'show() { echo found "$@"; }'
    slurm = {"nodes": 2, "gpus-per-node": 2}
    environment = {"setup_each_node": lines}
    run = desk.submit("variables", command=f"show {words}", slurm=slurm, environment=environment)
    assert desk.wait(run) == "COMPLETED"
    found = sorted(line.split() for line in run.log().splitlines() if line.startswith("found"))
    assert [words[:4] for words in found] == [["found", "2", str(node), "2"] for node in (0, 1)]
    assert found[0][4] == found[1][4]
    assert found[0][4][0] in "123456789"
