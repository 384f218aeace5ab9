"""What the commands for one run answer to the name of a sweep: its members, never nothing."""

from __future__ import annotations

import os

import pytest

from clusterrun.results import SweepMember
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.members import write_members
from clusterrun.run_folder.paths import RunPaths
from tests.support.cli_desk import Desk

SWEEP = "gpt2-20261121-215156-4a5c"
MEMBERS = [SweepMember(n, f"gpt2-{lr}", {"args.lr": lr}) for n, lr in enumerate(("1e-5", "3e-5"))]


@pytest.fixture
def sweep(desk: Desk) -> RunPaths:
    """A sweep of two members, queued as job 40; none has started."""
    paths = RunPaths(desk.folder / "runs" / SWEEP)
    paths.events.mkdir(parents=True)
    paths.intent.write_text("number=1\narray=0-1\n")
    paths.job.write_text("number=1\njob_id=40\n")
    write_members(paths, MEMBERS)
    Index(desk.environment).add(RunRef(SWEEP, paths, "40"))
    desk.command("sbatch", "exit 1")
    desk.command("squeue", 'for n in 0 1; do echo "40_$n|4$n|40|PENDING|Resources|N/A||/x"; done')
    return paths


def start(desk: Desk, sweep: RunPaths, number: int) -> RunPaths:
    """Let a member run."""
    task = RunPaths(sweep.folder / f"task-{number}")
    task.events.mkdir(parents=True)
    task.logs.mkdir()
    task.begin("0001").write_text(f"job_id=4{number}\n")
    task.log("0001").write_text(f"member {number}\n")
    desk.command(
        "squeue",
        f'echo "40_{number}|4{number}|40|RUNNING|None|N/A|n1|/x"; echo "40_0|40|40|PENDING|None|N/A||/x"',
    )
    return task


@pytest.mark.parametrize(("command", "code", "what"), [
    ("logs", 1, "output"), ("checkpoints", 1, "checkpoints"), ("report", 2, "report"),
])  # fmt: skip
def test_a_command_for_one_run_names_the_members(desk, sweep, command, code, what):
    """Also before a member has started; the values show which one is which."""
    done = desk.type(command, "gpt2")
    assert (done.returncode, done.stdout) == (code, "")
    assert f"{SWEEP} is a sweep of 2 members; each is a separate run with its own {what}\n" in (
        done.stderr
    )
    assert (
        f"hint: name one of them: {SWEEP}-0 (lr=1e-5), {SWEEP}-1 (lr=3e-5) "
        f"(`clusterrun status {SWEEP}` shows all)" in done.stderr
    )


def test_logs_names_the_members_that_have_printed(desk, sweep):
    """A pending member has no output yet."""
    start(desk, sweep, 1)
    assert f"name one of them: {SWEEP}-1 (lr=3e-5) (" in desk.type("logs", "gpt2").stderr
    assert desk.type("logs", f"{SWEEP}-1").stdout == "member 1\n"


def test_requeue_names_the_members_that_it_reaches(desk, sweep):
    """Only running members are asked; a sweep that waits is already pending."""
    assert desk.type("requeue", "gpt2").stderr.endswith("already pending; nothing to do\n")
    task = start(desk, sweep, 1)
    desk.command("scancel", 'echo "$@" >> scancelled')
    fields = f"JobName=x UserId=me({os.getuid()}) JobState=RUNNING Requeue=1 Restarts=0 Command={sweep.script} WorkDir=/"
    desk.command("scontrol", f"echo 'JobId=41 ArrayJobId=40 ArrayTaskId=1 {fields}'")
    done = desk.type("requeue", "gpt2")
    assert (done.returncode, done.stderr) == (
        0,
        f"{SWEEP}: RUNNING: requeue of 1 of 2 runs ({SWEEP}-1 (lr=3e-5)) requested: "
        "each saves a checkpoint and restarts\n",
    )
    assert task.requeue.exists()
