"""`doctor` on a real cluster: accounting on, off and broken, and a job that checks two nodes. Takes
15 seconds.
"""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.slurm.cluster import Cluster
from tests.slurm.desk import CLUSTERRUN, Desk, until


def found(desk: Desk, *words: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return doctor's findings by topic; its exit code is asserted."""
    answer = desk.cli("doctor", "--json", *words, check=False, timeout=90)
    assert answer.returncode == code, answer.stdout + answer.stderr
    topics: dict[str, list[dict[str, Any]]] = {}
    for one in json.loads(answer.stdout)["findings"]:
        topics.setdefault(one["topic"], []).append(one)
    return topics


def test_a_cluster_with_accounting(cluster: Cluster) -> None:
    """Slurm's settings are reported, the run root is that of the profile, and nothing is a problem."""
    desk = Desk(cluster, "alice")
    topics = found(desk)
    (accounting,) = topics["accounting"]
    assert accounting["verdict"] == "ok"
    (delay,) = topics["requeue delay"]
    assert "at least 5 s (AuthInfo=cred_expire)" in delay["message"]
    (low,) = topics["partition low"]
    assert low["message"].endswith("preempted by main, fixed, high: requeued, grace 15 s")
    (root,) = topics["run root"]
    assert root["message"].startswith(f"{desk.run_root}, on ")
    (python,) = topics["python"]
    assert (python["verdict"], "accelerate" in python["message"]) == ("ok", True)
    (gone,) = found(desk, "--set", "slurm.partition=gpu", code=1)["partitions"]
    assert gone["message"] == "gpu, set in the profile, does not exist"


def test_a_partition_that_this_machine_may_not_use(cluster: Cluster) -> None:
    """AllocNodes without this machine closes a partition, for Slurm and for the doctor."""
    desk = Desk(cluster, "alice")
    cluster.run_on("ctl", ["scontrol", "update", "PartitionName=fixed", "AllocNodes=n1"])
    try:
        (fixed,) = found(desk)["partition fixed"]
        assert fixed["message"].startswith("closed to you (AllocNodes=n1)")
        refused = cluster.run_as(
            "alice", ["sbatch", "--partition=fixed", "--wrap=true"], check=False
        )
        assert refused.returncode != 0
    finally:
        cluster.run_on("ctl", ["scontrol", "update", "PartitionName=fixed", "AllocNodes=ALL"])
    assert found(desk)["partition fixed"][0]["verdict"] == "ok"


def test_without_accounting(cluster_without_accounting: Cluster) -> None:
    """Disabled accounting is a warning, in sacct's words."""
    (accounting,) = found(Desk(cluster_without_accounting, "alice"))["accounting"]
    assert (accounting["verdict"], accounting["message"].partition(":")[0]) == (
        "warning",
        "accounting is off",
    )


def test_with_slurmdbd_killed(cluster: Cluster) -> None:
    """Accounting that is configured and broken is a problem, unlike disabled accounting."""
    cluster.kill_daemon("slurmdbd")
    try:
        (accounting,) = found(Desk(cluster, "alice"), code=1)["accounting"]
    finally:
        cluster.start_daemon("slurmdbd")
    assert accounting["verdict"] == "problem"
    assert accounting["message"].startswith(
        "accounting is configured, but sacct fails: sacct: error: "
    )


def test_two_nodes_are_checked_by_a_job(cluster: Cluster) -> None:
    """They share the folder, agree on the time, have Python, and reach each other; nothing of the
    job is left.
    """
    desk = Desk(cluster, "alice")
    topics = found(desk, "--on-nodes", "--timeout", "60", "--set", "slurm.gpus-per-node=2")
    assert [one["verdict"] for one in topics["shared folder"] + topics["clock"]] == ["ok"] * 4
    assert [one["message"].partition(":")[0] for one in topics["shared folder"]] == ["n1", "n2"]
    (root,) = topics["run root"]
    assert root["verdict"] == "ok"
    (here, *nodes) = topics["python"]
    assert [one["message"].split(": ", 2)[2] for one in nodes] == [
        here["message"].split(": ", 1)[1]
    ] * 2
    (met,) = topics["rendezvous"]
    assert (met["verdict"], met["message"].startswith("the nodes met at 10.")) == ("ok", True)
    assert {one["message"].partition(": ")[2] for one in topics["gpus"]} == {
        "Slurm allocated 2 GPUs, but nvidia-smi shows none"
    }
    assert [one["verdict"] for one in topics["node disk"]] == ["ok"] * 4
    assert desk.jobs() == []
    assert "clusterrun-doctor" not in desk.cli("list", "--json").stdout
    assert list(desk.run_root.glob("*doctor*")) == []


def test_nothing_is_left_in_the_queue(cluster: Cluster) -> None:
    """A job that does not start in time, or is interrupted while pending, is cancelled."""
    desk = Desk(cluster, "alice")
    desk.write_site()
    later = ["--on-nodes", "--set", "slurm.begin=now+1hour"]
    env = {"CLUSTERRUN_PROFILE": str(cluster.home("alice") / "site.yaml")}
    with cluster.popen_as("alice", [CLUSTERRUN, "doctor", *later], env=env) as typed:
        until(lambda: len(desk.jobs()) == 1, 30, "its job is queued")
        typed.send_signal(signal.SIGINT)
        assert typed.wait(30) == 130
    assert desk.jobs() == []
    (finding,) = found(desk, *later, "--timeout", "2")["on nodes"]
    assert (finding["verdict"], finding["message"]) == (
        "warning",
        "the job did not start in time (BeginTime) and was cancelled",
    )
    assert desk.jobs() == []


def test_a_written_profile_is_valid(cluster: Cluster) -> None:
    """The profile of --write-profile validates together with a spec, and is not overwritten."""
    desk = Desk(cluster, "alice")
    env = {"SCRATCH": str(desk.run_root)}
    cluster.run_as("alice", ["mkdir", "-p", str(desk.run_root)])
    assert desk.cli("doctor", "--write-profile", "own.yaml", env=env).returncode == 0
    written = (cluster.home("alice") / "own.yaml").read_text()
    assert 'partition: "main"' in written
    assert "run_root: $SCRATCH/runs" in written
    spec = desk.spec("plain", command="true", slurm={"partition": None})
    desk.cli("validate", str(spec), "--profile", "own.yaml", env=env)
    answer = desk.cli("doctor", "--write-profile", "own.yaml", env=env, check=False)
    assert (answer.returncode, "already exists" in answer.stderr) == (2, True)
