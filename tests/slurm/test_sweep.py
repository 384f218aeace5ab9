"""The members of a sweep on real Slurm: each is a run with its own values, preempted and resumed alone.

Budget: 1 minute. The members run a light script without torch.
"""

from __future__ import annotations

import csv
import sys

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.light import task_of, trains
from tests.slurm.survival import preempt, story

LASTS = ("30", "40", "1000000", "1000001")


def table(desk: Desk, run: Submitted, *words: str) -> list[dict[str, str]]:
    """The rows of `status --csv`."""
    return [*csv.DictReader(desk.cli("status", run.run_id, "--csv", *words).stdout.splitlines())]


def total(run: Submitted) -> str:
    return read_record(run.folder / "progress").get("total", "")


def test_the_members_of_a_sweep_are_separate_runs(desk: Desk) -> None:
    """Two finish; one is preempted and stopped, one is cancelled; `resume` restarts only these two,
    with their values and their steps.
    """
    command = f'{sys.executable} {SCRIPTS / "light.py"} "$LAST"'
    sweep = {"grid": {"environment.variables.LAST": [*map(int, LASTS)]}, "max_running": 3}
    slurm = {"nodes": 1, "gpus-per-node": 8}
    run = desk.submit("sweep", command=command, sweep=sweep, slurm=slurm)
    members = [task_of(run, number) for number in range(4)]
    trains(members[2])
    trains(members[3])
    until(lambda: [row["state"] for row in table(desk, run, "--sort", "number")[:2]] == ["COMPLETED"] * 2, 60,
          "two have finished")  # fmt: skip
    throttle = desk.cluster.run_as("alice", ["scontrol", "show", "job", run.job_id]).stdout
    assert "ArrayTaskThrottle=3" in throttle
    assert [total(member) for member in members] == list(LASTS)
    desk.cli("cancel", members[3].run_id)
    until(
        lambda: desk.status(members[3])["state"] == "CANCELLED",
        60,
        f"the last member is cancelled: {desk.status(members[3])} {desk.jobs()}",
    )
    assert (
        desk.status(members[2])["state"] == "RUNNING"
    )  # the job id of member 3 is that of the array
    preempt(desk, members[2])
    trains(members[2], 2)
    desk.cli("stop", members[2].run_id)
    assert desk.wait(members[2], 90) == "STOPPED", story(members[2])
    assert desk.status(run)["state"] == "CANCELLED"
    rows = table(desk, run, "--sort", "LAST")
    assert [row["environment.variables.LAST"] for row in rows] == list(LASTS)
    assert [row["state"] for row in rows] == ["COMPLETED", "COMPLETED", "STOPPED", "CANCELLED"]
    saved = members[2].step()

    again = desk.submitted(desk.cli("resume", run.run_id, "--json"))
    trains(members[2], 3)
    trains(members[3], 2)
    queued = desk.cluster.run_as("alice", ["squeue", "--me", "-rho", "%i"]).stdout.split()
    assert sorted(job for job in queued if job.startswith(f"{again.job_id}_")) == [
        f"{again.job_id}_2",
        f"{again.job_id}_3",
    ]
    assert [total(member) for member in members] == list(LASTS)
    assert members[2].step() > saved
    desk.cli("cancel", run.run_id)
    until(lambda: desk.status(run)["state"] == "CANCELLED", 90, "all are cancelled")
