"""`share: group`: who may do what in a run folder, as the file system enforces it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from clusterrun.planning.preparation import Request, prepare
from clusterrun.submission.submitting import submit

SPEC = "command: echo trained\nname: job\n"
# Functions override programs on PATH: these replace Slurm's commands.
STAND_INS = """\
srun() { while [[ ${1:-} == --* ]]; do shift; done; export SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0; exec "$@"; }
scontrol() { :; }
squeue() { :; }
"""


@pytest.fixture
def folder(monkeypatch) -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own, with stand-ins for sbatch and srun."""
    made = Path(tempfile.mkdtemp(prefix="clusterrun-"))
    made.chmod(0o755)
    (made / "bin").mkdir()
    for name in ("sbatch", "srun"):
        (made / "bin" / name).write_text("#!/bin/sh\necho Submitted batch job 7\n")
        (made / "bin" / name).chmod(0o755)
    (made / "stand-ins.bash").write_text(STAND_INS)
    monkeypatch.chdir(made)
    monkeypatch.setenv("PATH", f"{made}/bin:{os.environ['PATH']}")
    yield made
    shutil.rmtree(made)


def request(text: str) -> Request:
    Path("job.yaml").write_text(text)
    return Request(
        "job.yaml",
        environment={"HOME": str(Path.cwd()), "PATH": os.environ["PATH"]},
        own_python=False,
    )


def submitted(text: str, umask: int = 0o022) -> Path:
    """Submit a spec under a umask and return its run folder."""
    before = os.umask(umask)
    try:
        return submit(request(text)).paths.folder
    finally:
        os.umask(before)


def run_script(run: Path, umask: int = 0o022, **variables: str) -> None:
    """Run the script of a run in bash, as slurmd would."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(Path.cwd()), "BASH_ENV": "stand-ins.bash", "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n1", "SLURM_SUBMIT_DIR": str(Path.cwd()), **variables,
    }  # fmt: skip
    with Path("slurm.out").open("wb") as log:
        subprocess.run(
            ["bash", run / "job.sbatch"],
            env=environment,
            stdout=log,
            stderr=log,
            umask=umask,
            check=True,
        )


def modes(run: Path) -> dict[str, int]:
    """The modes of the run folder and of everything in it."""
    return {
        str(path.relative_to(run)): stat.S_IMODE(path.stat().st_mode)
        for path in (run, *run.rglob("*"))
    }


def opened(run: Path) -> dict[str, str]:
    """Whatever users other than the owner can access, with its mode."""
    return {name: f"{mode:o}" for name, mode in modes(run).items() if mode & 0o077}


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0])
def test_a_run_is_private_by_default(folder, umask):
    """Without `share`, nothing in a run folder is open to others, for any umask."""
    run = submitted(SPEC, umask)
    run_script(run, umask)
    assert opened(run) == {}
    assert len(modes(run)) > 10


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002, 0])
def test_the_group_reads_logs_and_writes_stop(folder, umask):
    """With `share: group` the group can read logs and write `stop`, and nothing else, for any umask."""
    run = submitted(f"{SPEC}share: group\n", umask)
    assert opened(run) == {".": "750", "logs": "750", "stop": "660"}
    run_script(run, umask)
    assert opened(run) == {".": "750", "logs": "750", "stop": "660", "logs/attempt-0001.log": "640"}


def test_a_task_of_an_array_is_shared_like_a_run(folder):
    """The script opens a task's folder as submit opens the array's."""
    run = submitted(f"{SPEC}share: group\nslurm: {{array: 0-3}}\n")
    run_script(run, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="3", SLURM_JOB_ID="10")
    assert opened(run / "task-3") == {
        ".": "750",
        "logs": "750",
        "stop": "660",
        "logs/attempt-0001.log": "640",
    }
    assert (run / "task-3" / "events" / "attempt-0001.begin").read_text().startswith("job_id=10\n")


def test_a_setgid_folder_still_hands_down_its_group(folder):
    """In a team's folder with the setgid bit, the run's files have the team's group."""
    (folder / "runs").mkdir()
    if os.geteuid() == 0:
        os.chown(folder / "runs", 0, 54321)
    (folder / "runs").chmod(0o2775)
    run = submitted(f"{SPEC}share: group\n")
    run_script(run)
    assert {name: f"{modes(run)[name]:o}" for name in (".", "logs")} == {
        ".": "2750",
        "logs": "2750",
    }
    groups = {
        path.stat().st_gid
        for path in (run, run / "stop", run / "logs", run / "logs" / "attempt-0001.log")
    }
    assert groups == {(folder / "runs").stat().st_gid}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_teammate_can_read_and_stop_only(folder):
    """A group member can read the logs and write `stop`; other users can open nothing."""
    run = submitted(f"{SPEC}share: group\n")
    run_script(run)
    for group, seen in ((os.getegid(), {"logs/attempt-0001.log": "-r", "stop": "wr"}), (54321, {})):
        listing = subprocess.run(
            ["bash", "-c", 'cd "$1" || exit; find * -type f -writable -printf "%p w\\n"; find * -type f -readable -printf "%p r\\n"', "-", run],
            user=54322, group=group, extra_groups=[], text=True, capture_output=True, check=False,
        ).stdout.split()  # fmt: skip
        files = zip(listing[::2], listing[1::2], strict=True)
        rights: dict[str, str] = {}
        for name, right in files:
            rights[name] = rights.get(name, "-" if right == "r" else "") + right
        assert rights == seen


def test_a_run_root_that_the_group_cannot_enter_is_reported(folder):
    """`validate` reports which parent folder keeps the group out if the spec shares the run."""
    (folder / "private" / "runs").mkdir(parents=True)
    (folder / "private").chmod(0o700)
    (folder / "site.yaml").write_text(f"run_root: {folder}/private/runs\n")
    note = (
        f"share: only you can enter {folder}/private, which contains the run folders; to let the "
        f"group in, run `chmod g+x {folder}/private`"
    )
    for text, notes in ((SPEC, ()), (f"{SPEC}share: group\n", (note,))):
        shared_request = request(text)
        assert prepare(replace(shared_request, profile="site.yaml")).notes == notes
    (folder / "private").chmod(0o710)
    assert prepare(replace(request(f"{SPEC}share: group\n"), profile="site.yaml")).notes == ()


def test_the_group_cannot_write_the_files_that_decisions_depend_on(folder):
    """With Debian's umask of 002 a teammate could write a line of Slurm's into the job's own log."""
    run = submitted(f"{SPEC}share: group\n", umask=0o002)
    Path("slurm.out").touch()
    Path("slurm.out").chmod(0o664)
    run_script(run, umask=0o002)
    assert stat.S_IMODE(Path("slurm.out").stat().st_mode) == 0o640
    open_to_write = {name for name, mode in modes(run).items() if mode & 0o022}
    assert open_to_write == {"stop"}
