"""Users' settings for Slurm's output change nothing that clusterrun reads; other clusters' jobs are
safe.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.cluster import Cluster
from tests.slurm.desk import Desk, Submitted, until

HARMFUL = {
    "SQUEUE_PARTITION": "high", "SQUEUE_NAMES": "other", "SQUEUE_ACCOUNT": "other", "SQUEUE_QOS": "other",
    "SQUEUE_LICENSES": "other", "SQUEUE_SORT": "nonsense!", "SQUEUE_STATES": "FAILED", "SQUEUE_USERS": "bob",
    "SQUEUE_FORMAT": "%u", "SQUEUE_FORMAT2": "username", "SLURM_TIME_FORMAT": "%a %b", "SLURM_BITSTR_LEN": "1",
    "SACCT_FORMAT": "user", "SINFO_FORMAT": "%P", "SINFO_PARTITION": "high", "SCANCEL_STATE": "SUSPENDED",
    "SCANCEL_NAME": "other", "SCANCEL_PARTITION": "high", "SCONTROL_ALL": "1", "SLURM_DEBUG_FLAGS": "all",
    "SLURM_JOB_ID": "1", "SBATCH_PARTITION": "nowhere", "LC_ALL": "tr_TR.UTF-8", "POSIXLY_CORRECT": "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """One node, with accounting."""
    with Cluster.start(nodes=1) as cluster:
        yield Desk(cluster, "alice")


@pytest.fixture(scope="module")
def runs(desk: Desk) -> tuple[Submitted, Submitted, Submitted]:
    """One active run, one pending run, one that has ended."""
    ended = desk.submit("ended", command="true")
    assert desk.wait(ended) == "COMPLETED"
    running = desk.submit("running", command="sleep 600")
    waiting = desk.submit("waiting", command="true", slurm={"begin": "now+2hours"})
    until(lambda: desk.status(running)["state"] == "RUNNING", 30, "it runs")
    return running, waiting, ended


def answers(desk: Desk, run: Submitted, env: dict[str, str]) -> list[object]:
    """Return the commands' output, without what changes by itself."""
    status = json.loads(desk.cli("status", run.run_id, "--json", env=env).stdout)
    resume = desk.cli("resume", run.run_id, env=env, check=False)
    listed = desk.cli("list", "--json", env=env).stdout
    states = re.findall(r'"(?:run_id|state)": "([^"]*)"', listed)
    kept = desk.cli("clean", "--older-than", "0d", "--dry-run", env=env, check=False).stdout
    return [
        status["state"],
        status["nodes"],
        resume.returncode,
        resume.stderr,
        states,
        run.run_id in kept,
    ]


@pytest.mark.parametrize("name", HARMFUL)
def test_answers_do_not_depend_on_the_users_settings(
    desk: Desk, runs: tuple[Submitted, ...], name: str, plain: list[object]
) -> None:
    """`status`, `list`, `clean` and `resume` print the same with a variable as without."""
    assert answers(desk, runs[0], {name: HARMFUL[name]}) == plain


@pytest.fixture(scope="module")
def plain(desk: Desk, runs: tuple[Submitted, ...]) -> list[object]:
    """The commands' output without any variable."""
    found = answers(desk, runs[0], {})
    assert (found[0], found[2], found[5]) == ("RUNNING", 1, False)
    assert {"RUNNING", "PENDING", "COMPLETED"} <= set(found[4])  # type: ignore[call-overload]
    return found


def test_no_setting_reaches_the_job(desk: Desk) -> None:
    """Neither what sbatch passes on by itself, nor what a setup line exports, changes what the
    script reads.
    """
    lines = ["export SQUEUE_PARTITION=high", "export SQUEUE_FORMAT2=username"]
    run_env = {"SLURM_TIME_FORMAT": "%a", "SLURM_BITSTR_LEN": "1", "SQUEUE_PARTITION": "high"}
    spec = desk.spec(
        "inside", command="env | sort", environment={"setup": lines}, slurm={"begin": "now"}
    )
    run = desk.submitted(desk.cli("submit", "--json", str(spec), env=run_env))
    assert desk.wait(run) == "COMPLETED"
    seen = [
        line
        for line in run.log().splitlines()
        if line.startswith(("SQUEUE_", "SLURM_TIME_FORMAT", "SLURM_BITSTR"))
    ]
    assert seen == []


def test_a_run_remembers_its_cluster(desk: Desk, runs: tuple[Submitted, ...]) -> None:
    """By the name that Slurm gives it, with SLURM_CLUSTERS or without; the variable works for every
    command.
    """
    assert read_record(runs[0].folder / "events" / "submit.job")["cluster"] == "cluster"
    env = {"SLURM_CLUSTERS": "cluster"}
    run = desk.submitted(
        desk.cli("submit", "--json", str(desk.spec("named", command="sleep 600")), env=env)
    )
    assert read_record(run.folder / "events" / "submit.job")["cluster"] == "cluster"
    desk.cli("cancel", run.run_id, env=env)
    assert desk.wait(run, 60) == "CANCELLED"


def test_a_job_of_the_same_number_on_another_cluster_is_safe(
    desk: Desk, runs: tuple[Submitted, ...]
) -> None:
    """A run that was submitted to `wice` has the number of a job here, which no command touches or
    shows.
    """
    precious = runs[0]
    run = desk.submit("on-wice", command="true", slurm={"begin": "now+2hours"})
    record = run.folder / "events" / "submit.job"
    own = record.read_text()
    desk.cluster.run_as("alice", ["scancel", run.job_id])
    record.write_text(
        own.replace(f"job_id={run.job_id}", f"job_id={precious.job_id}").replace(
            "=cluster", "=wice"
        )
    )
    message = "run was submitted to cluster wice, but Slurm's commands reach cluster here"
    for words in (["cancel"], ["stop"], ["requeue"], ["resume"]):
        answer = desk.cli(*words, run.run_id, check=False)
        assert answer.returncode == 1
        assert f"{message}\n  hint: set SLURM_CLUSTERS=wice" in answer.stderr
    assert desk.status(run)["state"] == "UNKNOWN"
    assert desk.status(run)["reason"] == f"{message}; set SLURM_CLUSTERS=wice"
    assert desk.status(precious)["state"] == "RUNNING"
    assert not (run.folder / "cancelled").exists()


def test_several_clusters_are_refused(desk: Desk) -> None:
    """sbatch would choose one of them."""
    spec = str(desk.spec("several", command="true"))
    answer = desk.cli("submit", spec, env={"SLURM_CLUSTERS": "cluster,wice"}, check=False)
    assert (answer.returncode, "names more than one cluster" in answer.stderr) == (1, True)
