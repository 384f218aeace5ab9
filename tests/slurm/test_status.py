"""`status` is right when slurmdbd or slurmctld is down; test_every_command has it with accounting
off and broken.
"""

from __future__ import annotations

import json
import time

from tests.slurm.cluster import Cluster
from tests.slurm.desk import SCRIPTS, Desk, until


def test_a_run_whose_job_slurm_forgot_is_cancelled() -> None:
    """Cancelled while pending, forgotten by slurmctld, not accounted: the run is reported as ended."""
    with Cluster.start(accounting=False, nodes=1, config_extra=["MinJobAge=2"]) as cluster:
        desk = Desk(cluster, "alice")
        run = desk.submit("forgotten", command="true", slurm={"begin": "now+2hours"})
        cluster.run_as("alice", ["scancel", run.job_id])
        ask = ["squeue", "--states=all", f"--jobs={run.job_id}"]
        until(
            lambda: cluster.run_as("alice", ask, check=False).returncode != 0,
            150,
            "slurmctld forgets the job",
        )
        status = desk.status(run)
        assert (status["state"], status["reason"]) == (
            "LOST",
            f"Slurm no longer knows job {run.job_id}, and the run left no end record",
        )
        assert desk.wait(run, 10) == "LOST"


def test_an_end_is_known_while_slurmdbd_is_down(cluster: Cluster) -> None:
    """slurmdbd stops while a run is active: its end is known within ten seconds."""
    desk = Desk(cluster, "alice")
    run = desk.submit("dbd-down", command="sleep 5")
    until(lambda: desk.status(run)["state"] == "RUNNING", 30, "it runs")
    desk.cluster.stop_daemon("slurmdbd")
    try:
        assert desk.wait(run, 60) == "COMPLETED"
        begun = time.monotonic()
        assert desk.status(run)["state"] == "COMPLETED"
        assert time.monotonic() - begun < 10
    finally:
        desk.cluster.start_daemon("slurmdbd")


def test_status_is_unknown_while_slurmctld_is_down(cluster: Cluster) -> None:
    """Nothing is invented: a run that may be active is UNKNOWN, one with an end record has that
    state.
    """
    desk = Desk(cluster, "alice")
    ended = desk.submit("ended", command="true")
    assert desk.wait(ended) == "COMPLETED"
    waiting = desk.submit("unreachable", command="true", slurm={"begin": "now+2hours"})
    desk.cluster.stop_daemon("slurmctld")
    try:
        assert desk.status(ended)["state"] == "COMPLETED"
        begun = time.monotonic()
        assert desk.status(waiting)["state"] == "UNKNOWN"
        assert time.monotonic() - begun < 10
        answer = desk.cli(
            "submit", str(desk.spec("lost", command="true")), check=False, timeout=100
        )
        assert answer.returncode == 1
    finally:
        desk.cluster.start_daemon("slurmctld")
    desk.cli("cancel", waiting.run_id)
    assert desk.wait(waiting, 30) == "CANCELLED"


def test_runs_are_found_by_every_identifier(cluster: Cluster) -> None:
    """By run id, a prefix, the job id, `last` and the folder, from any folder."""
    desk = Desk(cluster, "alice")
    run = desk.submit("found", script=str(SCRIPTS / "who.py"))
    for name in (run.run_id, run.run_id[:-2], run.job_id, "last", str(run.folder)):
        assert json.loads(desk.cli("status", name, "--json").stdout)["run_id"] == run.run_id
    assert desk.wait(run) == "COMPLETED"
