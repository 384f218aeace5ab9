"""`clusterrun diff`, and the code in `status`, on a desk with real git and a stand-in for sbatch."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli_desk import Desk


def give_slurm(desk: Desk, job: int) -> None:
    """Put a Slurm on PATH that accepts every job and knows none."""
    for name in ("srun", "squeue", "sacct", "scontrol", "scancel", "sinfo", "sacctmgr"):
        desk.command(name, "")
    desk.command("sbatch", f'echo "Submitted batch job {job}"')


@pytest.fixture
def repository(desk: Desk) -> Path:
    """A desk whose folder is a repository with a commit."""
    (desk.programs / "git").symlink_to(str(shutil.which("git")))
    give_slurm(desk, 7)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    desk.write("home/\nbin/\ntmp/\nvenv/\nruns/\n", ".gitignore")
    desk.write("print(1)\n", "train.py")
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [*identity, "commit", "-qm", "first"],
    ):
        subprocess.run(["git", *words], cwd=desk.folder, check=True)
    return desk.folder


def submitted(desk: Desk, *options: str) -> str:
    """Submit the spec; return the run id."""
    done = desk.type("submit", "job.yaml", "--json", *options)
    return str(json.loads(done.stdout)["run_id"])


def test_a_run_shows_its_code_and_what_changed_since(desk: Desk, repository: Path) -> None:
    """`status` has the commit in one line, `diff` the changes as git prints them."""
    desk.write("print(2)\n", "train.py")
    run = submitted(desk)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=True
    )
    line = f"{commit.stdout[:10]} on main, with 1 changed file"
    assert f"code             {line}\n" in desk.type("status", run).stdout
    assert json.loads(desk.type("status", run, "--json").stdout)["code"] == line
    same = desk.type("diff", run)
    assert (same.stdout, same.stderr) == (f"{run}  {line}\n", "the code is the same\n")
    desk.write("print(3)\n", "train.py")
    shown = desk.type("diff", run)
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[-2:] == ["-print(2)", "+print(3)"]


def test_two_runs_differ_in_spec_and_code(desk: Desk, repository: Path) -> None:
    """The values of the spec are a table, the code follows."""
    first = submitted(desk, "--set", "args.lr=1e-4", "--set", "slurm.time=1:00:00")
    desk.write("print(4)\n", "train.py")
    second = submitted(desk, "--set", "args.lr=3e-4")
    shown = desk.type("diff", first, second).stdout
    rows = [line.split() for line in shown.splitlines()]
    assert ["KEY", first, second] in rows
    assert ["args.lr", "1e-4", "3e-4"] in rows
    assert ["slurm.time", "1:00:00", "-"] in rows
    assert rows[-2:] == [["-print(1)"], ["+print(4)"]]
    difference = json.loads(desk.type("diff", first, second, "--json").stdout)
    assert {"key": "args.lr", "first": "1e-4", "second": "3e-4"} in difference["spec"]
    assert difference["second_code"]["changed"] == ["train.py"]


def test_a_run_without_a_record(desk: Desk) -> None:
    """Without git, in no repository, and for an old run: the reason and what to do."""
    give_slurm(desk, 7)
    run = submitted(desk)
    done = desk.type("diff", run)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"the code of {run} is not recorded: git: No such file or directory\n  hint: "
    )
    assert "code  " not in desk.type("status", run).stdout
    old = desk.run("old", cause="crash", next="end")
    assert not old.code.exists()
    assert desk.type("diff", "old").stderr.startswith("the code of old is not recorded\n  hint: ")


def test_a_resumed_run_has_the_code_of_its_resume(desk: Desk, repository: Path) -> None:
    """The record of the first submission is kept, too."""
    run = submitted(desk)
    folder = repository / "runs" / run
    first = (folder / "code.json").read_text()
    (folder / "events" / "attempt-0001.begin").write_text("job_id=7\n")
    (folder / "events" / "attempt-0001.end").write_text("cause=crash\nnext=end\nexit_code=1\n")
    desk.write("print(5)\n", "train.py")
    give_slurm(desk, 8)
    resumed = desk.type("resume", run)
    assert resumed.returncode == 0, resumed.stderr
    assert (folder / "code-1.json").read_text() == first
    assert b"+print(5)" in (folder / "code.patch").read_bytes()


def test_runs_without_a_record_are_compared_by_their_specs(desk: Desk) -> None:
    """Two members of a sweep differ in their own values; what is not compared is reported."""
    give_slurm(desk, 7)
    desk.write("script: train.py\nsweep: {grid: {args.lr: [1e-4, 3e-4], args.seed: [1]}}\n")
    run = submitted(desk)
    for number in (0, 1):
        (desk.folder / "runs" / run / f"task-{number}").mkdir()
    done = desk.type("diff", f"{run}-0", f"{run}-1")
    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["KEY", f"{run}-0", f"{run}-1"],
        ["args.lr", "1e-4", "3e-4"],
    ]
    assert done.stderr.startswith(
        f"note: the code was not compared: the code of {run}-0 is not recorded: "
    )
    same = desk.type("diff", f"{run}-0", f"{run}-0")
    assert same.stderr.startswith("the specs are the same\n")
