"""What other users, and other jobs of the same user, may do to a run, and the reverse."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.slurm.counter import count, queue, runs
from tests.slurm.desk import Desk, until
from tests.slurm.survival import (
    story,
)


def as_bob(desk: Desk, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.prefix) / "bin" / "clusterrun"
    return desk.cluster.run_as("bob", [program, *words], check=False)


def test_a_teammate_may_stop_a_shared_run(desk: Desk) -> None:
    """Another user of the group stops it by its folder and reads its output, and can do nothing
    else with it.
    """
    run = count(desk, "shared", share="group")
    runs(run.folder)
    answer = as_bob(desk, "stop", str(run.folder))
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith(f"{run.run_id}: stop requested")
    assert desk.wait(run) == "STOPPED", story(run)
    assert (run.folder / "stop").read_text().startswith("requested by bob at ")
    assert "attempt 0001 ended: stop" in as_bob(desk, "logs", str(run.folder)).stdout
    for words in (["status"], ["cancel"], ["resume"], ["requeue"], ["checkpoints"]):
        answer = as_bob(desk, *words, str(run.folder))
        assert (answer.returncode, answer.stdout) == (1, ""), words
        assert "hint: " in answer.stderr


def test_a_run_that_is_not_shared_is_closed_to_others(desk: Desk) -> None:
    """Without `share: group` every command names the person to ask."""
    run = count(desk, "closed")
    for words in (
        ["stop"],
        ["status"],
        ["logs"],
        ["cancel"],
        ["resume"],
        ["requeue"],
        ["checkpoints"],
    ):
        answer = as_bob(desk, *words, str(run.folder))
        assert (answer.returncode, answer.stdout) == (1, ""), words
        assert answer.stderr.splitlines() == [
            f"no permission to read {run.folder}",
            "  hint: ask alice to submit with `share: group`, which lets the group read the logs and stop the run",
        ]
    desk.cli("cancel", run.run_id)
    assert desk.wait(run) == "CANCELLED"


def test_a_job_that_is_not_the_runs_is_not_cancelled(desk: Desk) -> None:
    """If a run's records name another job of alice's, that job is left alone, and `clean` keeps the
    run that Slurm has.
    """
    run = count(desk, "spoilt")
    runs(run.folder)
    wrap = ["sbatch", "--parsable", "--partition=low", "--output=/dev/null", "--wrap=sleep 600"]
    other = desk.cluster.run_as("alice", wrap).stdout.strip()
    until(lambda: f"{other} RUNNING" in queue(desk), 60, "the other job runs")
    begin, job = run.folder / "events" / "attempt-0001.begin", run.folder / "events" / "submit.job"
    right = begin.read_text(), job.read_text()
    for path, text in zip((begin, job), right, strict=True):
        path.write_text(text.replace(f"job_id={run.job_id}", f"job_id={other}"))
    for command in ("cancel", "requeue"):
        answer = desk.cli(command, run.run_id, check=False)
        assert answer.returncode == 1
        assert f"it is not a job of {run.run_id}" in answer.stderr
    job.write_text(f"{right[1]}earlier=--me {other}\n")
    begin.write_text(right[0])
    (run.folder / "cancelled").unlink()
    hidden = {"SQUEUE_STATES": "PENDING", "SQUEUE_PARTITION": "none"}
    desk.cli("clean", "--older-than", "0d", "--yes", env=hidden)
    assert run.folder.is_dir()
    assert queue(desk) == {f"{other} RUNNING", f"{run.job_id} RUNNING"}

    desk.cli("cancel", run.run_id)
    assert desk.wait(run) == "CANCELLED"
    until(lambda: queue(desk) == {f"{other} RUNNING"}, 60, "the run's job has ended, and no other")
    desk.cluster.run_as("alice", ["scancel", other])
