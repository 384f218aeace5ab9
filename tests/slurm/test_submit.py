"""A submission happens exactly once, passes nothing on by accident, and keeps secrets."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.desk import CHECKOUT, SCRIPTS, Desk, until

LATER: dict[str, Any] = {"command": "true", "slurm": {"begin": "now+2hours"}}


@pytest.fixture
def empty_queue(desk: Desk) -> Any:
    yield
    desk.cluster.run_as("alice", ["scancel", "--me"])
    until(lambda: not desk.jobs(), 60, "the queue is empty")


def runs_of(desk: Desk, name: str) -> list[Path]:
    return sorted(desk.run_root.glob(f"{name}-*"))


@pytest.mark.usefixtures("empty_queue")
def test_a_killed_client_leaves_no_duplicate_and_no_orphan(desk: Desk) -> None:
    """Killed before any of its operations, and typed again, `submit` has made one run with one job."""
    state = desk.cluster.home("alice") / ".local" / "state" / "clusterrun"
    killer = [str(SCRIPTS / "killed_submit.py")]
    points = 0
    for at in range(1, 200):
        name = f"killed-{at}"
        spec = desk.spec(name, **LATER)
        env = {"CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml")}
        argv = [*killer, str(at), f"{state}:{desk.run_root}", "submit", str(spec)]
        died = desk.cluster.run_warm("alice", argv, env=env, check=False).returncode
        if died == 0:
            break
        points += 1
        again = desk.submitted(desk.cli("submit", "--json", str(spec)))
        jobs = [line for line in desk.jobs() if f"/{name}-" in line]
        assert len(jobs) == 1, f"killed before step {at}: {jobs}"
        assert jobs[0].split() == [again.job_id, str(again.folder / "job.sbatch")], (
            f"killed before step {at}"
        )
        assert runs_of(desk, name) == [again.folder], f"killed before step {at}"
        assert desk.status(again)["state"] == "PENDING"
    assert points > 20, "the kills must reach every step"
    assert not [path for path in (state / "pending").iterdir() if path.suffix != ".lock"]


@pytest.mark.usefixtures("empty_queue")
def test_an_sbatch_that_outlives_its_client_is_waited_for(desk: Desk) -> None:
    """A client killed while sbatch still runs leaves its lock to sbatch; the next submit adopts the
    job.
    """
    tools = desk.cluster.home("alice") / "slow"
    tools.mkdir(exist_ok=True)
    slow = tools / "sbatch"
    slow.write_text(
        f'#!/bin/bash\necho $$ > {desk.cluster.scratch}/sbatch-began\nsleep 3\nexec /usr/bin/sbatch "$@"\n'
    )
    tools.chmod(0o755), slow.chmod(0o755)
    spec = desk.spec("slow", **LATER)
    env = {
        "CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml"),
        "PATH": f"{tools}:/usr/bin:/bin",
    }
    began = desk.cluster.scratch / "sbatch-began"

    client = f"{sys.executable} -m clusterrun submit {spec} & "
    wait = f"for ((n = 0; n < 600; n++)); do [ ! -e {began} ] || break; sleep 0.05; done; "
    argv = ["bash", "-c", f"{client}{wait}kill -KILL $!"]
    desk.cluster.run_as("alice", argv, env=env, check=False)
    assert began.exists(), "the client was killed before it called sbatch"
    again = desk.submitted(desk.cli("submit", "--json", str(spec)))
    time.sleep(3)

    assert [line.split()[0] for line in desk.jobs() if "/slow-" in line] == [again.job_id]


@pytest.mark.usefixtures("empty_queue")
def test_the_same_spec_twice_makes_two_runs(desk: Desk) -> None:
    """Exactly once is a promise for one submission, not for one spec."""
    first, second = desk.submit("twice", **LATER), desk.submit("twice", **LATER)
    assert first.run_id != second.run_id
    assert first.job_id != second.job_id


def test_a_refusal_leaves_nothing_behind(desk: Desk) -> None:
    """A partition that Slurm refuses is an error in the spec, and makes no run."""
    spec = desk.spec("refused", command="true", slurm={"partition": "no-such"})
    answer = desk.cli("submit", str(spec), check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "slurm.partition: partition 'no-such' does not exist\n  hint: " in answer.stderr
    assert "this cluster has " in answer.stderr
    assert runs_of(desk, "refused") == []


def test_the_job_does_not_depend_on_the_login_shell(desk: Desk) -> None:
    """Variables of the login shell are not passed on; SBATCH_ ones are reported; the spec's and the
    setup's arrive.
    """
    spec = desk.spec("clean", script=str(SCRIPTS / "who.py"), slurm={"nodes": 2}, environment={
        "variables": {"FROM_SPEC": "a b  'c'", "OMP_NUM_THREADS": 1}, "setup": ["export FROM_SETUP=$((40 + 2))"]})  # fmt: skip
    answer = desk.cli(
        "submit",
        "--json",
        str(spec),
        env={"FROM_LOGIN": "1", "SBATCH_JOB_NAME": "other", "SBATCH_TIMELIMIT": "9"},
    )
    run = desk.submitted(answer)

    assert (
        "ignored, because they would override the spec: SBATCH_JOB_NAME, SBATCH_TIMELIMIT"
        in answer.stderr
    )
    assert desk.wait(run) == "COMPLETED", run.log()
    for path in (run.folder / "who").glob("*.json"):
        seen = json.loads(path.read_text())
        assert seen["variables"] == {
            "FROM_LOGIN": None,
            "FROM_SPEC": "a b  'c'",
            "HF_TOKEN": None,
            "FROM_SETUP": "42",
        }
        assert seen["folder"] == str(CHECKOUT)


def test_a_secret_reaches_the_training_script_and_no_file(desk: Desk) -> None:
    """A secret is passed by name; its value is in no file of the run and in no answer."""
    value = "hf_thisIsVerySecret"
    spec = desk.spec(
        "secret", script=str(SCRIPTS / "secret.py"), environment={"secrets": ["HF_TOKEN"]}
    )
    answer = desk.cli("submit", "--json", str(spec), env={"HF_TOKEN": value})
    run = desk.submitted(answer)

    assert desk.wait(run) == "COMPLETED", run.log()
    assert "length of the secret: 19" in run.log()
    shown = desk.cli("render", str(spec), env={"HF_TOKEN": value}).stdout
    printed = desk.cluster.run_as(
        "alice", ["scontrol", "show", "job", run.job_id], check=False
    ).stdout
    files = [path.read_bytes() for path in run.folder.rglob("*") if path.is_file()]
    assert all(value not in text for text in (answer.stdout, answer.stderr, shown, printed))
    assert all(value.encode() not in content for content in files)


def test_the_run_folder_is_private(desk: Desk) -> None:
    """Folders are 0700 and files 0600, for any umask: another user reads nothing."""
    run = desk.submit("private", script=str(SCRIPTS / "who.py"))
    assert desk.wait(run) == "COMPLETED"
    assert (
        desk.cluster.run_as("bob", ["cat", run.folder / "job.sbatch"], check=False).returncode != 0
    )
    ours = [
        path
        for path in run.folder.rglob("*")
        if "who" not in path.parts and "logs" not in path.parts
    ]
    assert {oct(path.stat().st_mode & 0o077) for path in [run.folder, *ours]} == {"0o0"}


def test_every_job_spec_is_accepted_by_sbatch(desk: Desk) -> None:
    """Each of our job specs, rendered here, passes the real sbatch --test-only; our nodes are
    small, and have no GPU types.
    """
    for spec in sorted((CHECKOUT / "job_specs").glob("*.yaml")):
        script = desk.cli("render", str(spec), "--set", "slurm.partition=main").stdout
        script = re.sub(r"(#SBATCH --cpus-per-task)=\d+", r"\1=1", script)
        script = re.sub(r"(#SBATCH --gpus-per-node)=[a-z]+\d+:", r"\1=", script)
        answer = desk.cluster.run_as("alice", ["sbatch", "--test-only"], input=script, check=False)
        assert re.search(r"Job \d+ to start at", answer.stderr), f"{spec.name}: {answer.stderr}"


def test_a_dry_run_queues_nothing(desk: Desk) -> None:
    """`submit --dry-run` shows the script and Slurm's answer, and leaves nothing behind."""
    spec = desk.spec("dry", **LATER)
    answer = desk.cli("submit", "--dry-run", str(spec))
    assert answer.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=dry\n")
    assert "not queued. Slurm would accept it and start at 20" in answer.stderr
    assert runs_of(desk, "dry") == []
    assert desk.jobs() == []


def test_the_first_record_names_the_job(desk: Desk) -> None:
    """The job id that submit prints is recorded in the run's own files."""
    run = desk.submit("named", command="true")
    assert desk.wait(run) == "COMPLETED"
    assert read_record(run.folder / "events" / "submit.job")["job_id"] == run.job_id
    assert read_record(run.folder / "events" / "attempt-0001.begin")["job_id"] == run.job_id
