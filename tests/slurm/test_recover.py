"""Stopped runs are resumed, running ones are requeued, and checkpoints are listed, on Slurm.

Budget: 4 minutes.
"""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clusterrun.run_folder.records import read_record
from tests.slurm.counter import COUNTER, ENDLESS, count, resumed, runs
from tests.slurm.desk import CHECKOUT, SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import (
    EVERY,
    assert_whole,
    begun,
    causes,
    completes,
    reaches,
    story,
    survive,
    trained,
)


def test_a_stopped_run_is_resumed(desk: Desk) -> None:
    """After `stop` and `resume` it is the same run in another job; no step is lost, and the losses
    do not differ.
    """
    run = survive(desk, "resumed", ranks=1, args={"slow_at": [10]})
    reaches(run, 1, 10)
    desk.cli("stop", run.run_id)
    assert desk.wait(run) == "STOPPED", story(run)
    again = resumed(desk, run, "--set", "slurm.time=20")

    completes(desk, run)
    assert causes(run) == ["stop", "finished"], story(run)
    assert_whole(run, ranks=1)
    assert (again.run_id, again.folder) == (run.run_id, run.folder)
    assert [read_record(path)["job_id"] for path in begun(run)] == [run.job_id, again.job_id]
    limit = desk.cluster.run_as(
        "alice", ["sacct", "-nXPj", again.job_id, "--format=Timelimit"]
    ).stdout
    assert limit.strip() == "00:20:00"
    first, second = desk.status(run)["attempts"]
    assert (first["summary"], first["steps_lost"]) == ("stopped on request", 0)
    assert (second["resumed_from_step"], second["last_step"]) == (first["last_step"], 450)


@pytest.mark.extended
def test_a_run_that_gave_up_is_resumed(desk: Desk) -> None:
    """A run that gave up after a crash resumes from its last checkpoint; `status` shows the lost
    steps.
    """
    # slow before the crash: progress is written at most once a second
    args = {"crash_step": 50, "slow_at": [47], "pace": 1.5}
    run = survive(desk, "given-up", ranks=1, args=args, requeue={"crashes": 0})
    assert desk.wait(run) == "FAILED", story(run)
    resumed(desk, run)

    completes(desk, run)
    assert causes(run) == ["crash", "finished"], story(run)
    assert_whole(run, ranks=1, lost=EVERY)
    first = desk.status(run)["attempts"][0]
    assert first["summary"].startswith("crashed with exit code")
    assert abs(first["steps_lost"] - trained(run.folder).lost()[0]) <= 1


def test_a_requeued_run_continues_without_losing_a_step(desk: Desk) -> None:
    """`requeue` lets all ranks on two nodes save first, and the same job continues from that step;
    until it has restarted, `why` never says that training continues.
    """
    run = survive(desk, "moved", args={"slow_at": [10]}, requeue={"on": ["crash"]})
    reaches(run, 1, 10)
    printed = desk.cli("requeue", run.run_id).stderr
    summaries = []

    def has_restarted() -> bool:
        answer = json.loads(desk.cli("why", run.run_id, "--json").stdout)
        summaries.append(answer["next"]["summary"])
        return len(begun(run)) > 1

    until(has_restarted, 120, "the run has restarted")
    waits = f"the run waits in the queue as job {run.job_id}; attempt 2 resumes from step "
    assert any(words.startswith(waits) for words in summaries), summaries
    assert "training continues" not in summaries[:-1]

    completes(desk, run)
    assert (
        printed == f"{run.run_id}: RUNNING: requeue requested: it saves a checkpoint and restarts\n"
    )
    assert causes(run) == ["requeue", "finished"], story(run)
    assert_whole(run)
    assert {read_record(path)["job_id"] for path in begun(run)} == {run.job_id}


def test_a_pending_run_needs_no_requeue(desk: Desk) -> None:
    """Nothing is requested, with a message; for a run that has ended, the hint is `resume`."""
    run = count(desk, "waits", slurm={"begin": "now+2hours"})
    answer = desk.cli("requeue", run.run_id)
    assert answer.stderr == f"{run.run_id}: PENDING: already pending; nothing to do\n"
    assert not (run.folder / "requeue").exists()
    desk.cli("cancel", run.run_id)
    assert desk.wait(run) == "CANCELLED"
    answer = desk.cli("requeue", run.run_id, check=False)
    assert answer.returncode == 1
    assert f"`clusterrun resume {run.run_id}`" in answer.stderr


@pytest.mark.extended
def test_a_corrupt_checkpoint_is_detected(desk: Desk) -> None:
    """After one bit flipped in the newest checkpoint, --verify exits with 1 and names the
    checkpoint that a resume uses.
    """
    run = survive(desk, "damaged", ranks=1, args={"slow_at": [2 * EVERY + 5], "pace": 3600})
    reaches(run, 1, 2 * EVERY + 5)
    desk.cli("cancel", run.run_id)
    assert desk.wait(run) == "CANCELLED"
    assert desk.cli("checkpoints", run.run_id, "--verify").stdout.count(" yes") == 2
    newest = run.folder / "checkpoints" / f"step-{2 * EVERY:08d}-0001"
    state = max(
        (path for path in newest.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)

    answer = desk.cli("checkpoints", run.run_id, "--verify", check=False)
    assert answer.returncode == 1
    assert re.search(
        rf"^step-{EVERY:08d}-0001 .* yes +<- resumes here$", answer.stdout, re.MULTILINE
    )
    assert f"no: {state.relative_to(newest)}'s checksum differs" in answer.stdout
    (run.folder / "output" / "hurry").touch()
    resumed(desk, run)
    completes(desk, run)
    assert (
        read_record(run.folder / "events" / "attempt-0002.resume")["checkpoint"]
        == f"step-{EVERY:08d}-0001"
    )
    assert_whole(run, ranks=1, lost=2 * EVERY)


@pytest.mark.extended
def test_five_concurrent_resumes_make_one_job(desk: Desk) -> None:
    """`resume` typed five times at once queues one job; the others report that the run is active."""
    run = count(desk, "at-once", slurm={"begin": "now+2hours"})
    desk.cli("cancel", run.run_id)
    assert desk.wait(run) == "CANCELLED"
    with ThreadPoolExecutor(5) as typists:
        answers = list(typists.map(lambda _: desk.cli("resume", run.run_id, check=False), range(5)))

    assert sorted(answer.returncode for answer in answers) == [0, 1, 1, 1, 1], answers
    assert all("is still " in answer.stderr for answer in answers if answer.returncode)
    assert len([line for line in desk.jobs() if run.run_id in line]) == 1
    desk.cli("cancel", run.run_id)


@pytest.mark.extended
def test_a_killed_resume_leaves_no_duplicate_and_no_orphan(desk: Desk) -> None:
    """Killed before any of its operations, and typed again, `resume` has queued one job, which the
    run knows.
    """
    state = desk.cluster.home("alice") / ".local" / "state" / "clusterrun"
    run = count(desk, "killed", slurm={"begin": "now+2hours"})
    env = {"CLUSTERRUN_PROFILE": str(desk.cluster.home("alice") / "site.yaml")}
    killer = [sys.executable, str(SCRIPTS / "killed_submit.py")]
    points = 0
    for at in range(1, 400, 7):
        desk.cli("cancel", run.run_id)
        assert desk.wait(run) == "CANCELLED"
        argv = [*killer, str(at), f"{state}:{desk.run_root}", "resume", run.run_id]
        if desk.cluster.run_as("alice", argv, env=env, check=False).returncode == 0:
            break
        points += 1
        again = resumed(desk, run)
        jobs = [line.split()[0] for line in desk.jobs() if f"/{run.run_id}/" in line]
        assert jobs == [again.job_id], f"killed before step {at}"
        assert desk.status(run)["state"] == "PENDING", f"killed before step {at}"
    assert points > 5, "the kills must reach every part"
    desk.cli("cancel", run.run_id)
    assert not [path for path in (state / "pending").glob("resume-*") if path.suffix != ".lock"]


def test_a_refused_resume_changes_nothing(desk: Desk) -> None:
    """The run can still be resumed with its previous values."""
    run = count(desk, "not-taken", slurm={"begin": "now+2hours"})
    desk.cli("cancel", run.run_id)
    before = desk.wait(run)
    script = (run.folder / "job.sbatch").read_text()
    answer = desk.cli("resume", run.run_id, "--set", "slurm.partition=no-such", check=False)
    assert answer.returncode == 2
    assert "slurm.partition: partition 'no-such' does not exist" in answer.stderr
    assert (run.folder / "job.sbatch").read_text() == script
    assert desk.status(run)["state"] == before == "CANCELLED"
    resumed(desk, run)
    desk.cli("cancel", run.run_id)


def test_a_script_that_was_piped_into_sbatch_cannot_be_resumed(desk: Desk) -> None:
    """Its spec is unknown, so `resume` prints what to do instead; and that works."""
    command = f"PYTHONPATH={CHECKOUT} {sys.executable} {COUNTER} {ENDLESS}"
    spec = desk.spec("by-hand", command=command, slurm={"chdir": str(desk.cluster.scratch)})
    script = desk.cli("render", str(spec)).stdout
    job = desk.cluster.run_as(
        "alice", ["sbatch", "--parsable"], input=script, cwd=desk.cluster.scratch
    ).stdout.strip()
    run = Submitted(f"by-hand-{job}", job, desk.run_root / f"by-hand-{job}")
    runs(run.folder)
    desk.cli("stop", str(run.folder))
    until(lambda: causes(run) == ["stop"], 60, "it stops")
    ask = ["squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"]
    until(lambda: desk.cluster.run_as("alice", ask).stdout.strip() == "FAILED", 60, "its job ends")
    answer = desk.cli("resume", str(run.folder), check=False)
    assert answer.returncode == 1
    assert f"{run.run_id} was not created by `clusterrun submit`" in answer.stderr
    assert (
        f"empty `stop` and remove `cancelled` in its folder, then run `scontrol requeue {job}`"
        in answer.stderr
    )
    desk.cluster.run_as("alice", ["truncate", "--size=0", run.folder / "stop"])
    desk.cluster.run_as("alice", ["scontrol", "requeue", job])
    runs(run.folder, 2)
    desk.cli(
        "cancel", str(run.folder)
    )  # Slurm has no path of its script: the job is identified by its name and id
    until(
        lambda: desk.cluster.run_as("alice", ask).stdout.strip() == "CANCELLED",
        60,
        "its job is cancelled",
    )


def test_the_tasks_of_an_array_are_separate_runs(desk: Desk) -> None:
    """One is stopped, one is requeued, all are cancelled; `resume` continues those that have not
    finished.
    """
    run = count(desk, "grid", last=ENDLESS, slurm={"array": "0-2", "nodes": 1})
    tasks = [run.folder / f"task-{number}" for number in range(3)]
    for task in tasks:
        runs(task)
    desk.cli("requeue", f"{run.run_id}-1")
    desk.cli("stop", f"{run.run_id}-2")
    one = Submitted(f"{run.run_id}-1", f"{run.job_id}_1", tasks[1])
    two = Submitted(f"{run.run_id}-2", f"{run.job_id}_2", tasks[2])
    assert desk.wait(two) == "STOPPED", story(two)
    runs(tasks[1], 2)
    assert causes(one)[0] == "requeue"
    desk.cli("cancel", run.run_id)
    assert desk.wait(run) == "CANCELLED", "\n".join(
        story(Submitted("", "", task)) for task in tasks
    )
    states = [task["state"] for task in desk.status(run)["tasks"]]
    assert states == ["CANCELLED", "CANCELLED", "STOPPED"]

    (tasks[2] / "events" / "attempt-0001.trainer").write_text("outcome=finished\n")
    again = resumed(desk, run)
    runs(tasks[0], 2)
    runs(tasks[1], 3)
    jobs = desk.cluster.run_as("alice", ["squeue", "--me", "-rho", "%i"]).stdout.split()
    assert sorted(job for job in jobs if job.startswith(f"{again.job_id}_")) == [
        f"{again.job_id}_{n}" for n in (0, 1)
    ]
    status = desk.status(run)
    assert (status["state"], [task["state"] for task in status["tasks"]][:2]) == (
        "RUNNING",
        ["RUNNING", "RUNNING"],
    )
    assert json.loads(desk.cli("status", f"{run.run_id}-1", "--json").stdout)["attempt"] == 3
    desk.cli("stop", run.run_id)
    assert desk.wait(run) == "STOPPED"
