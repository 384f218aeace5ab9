"""The run folders of other users are only read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths

CHECKOUT = Path(cli.__file__).parents[2]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be other users")
VICTIM, OTHER = 61001, 61002
# The Python of these tests may be in a folder closed to other users; a capability opens it.
_READING = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that two users can write to."""
    folder = Path(tempfile.mkdtemp(prefix="shared-", dir="/var/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def as_user(
    user: int, home: Path, *words: str, inside: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user, in a PID namespace where the user's only processes are in `inside`."""
    script = f'{inside}\n"$@"; code=$?\njobs -r > "$HOME/alive"; exit $code'
    own = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        *_READING,
        "bash",
        "-c",
        script,
        "-",
        *words,
    ]
    environment = {
        "HOME": str(home),
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "PYTHONPATH": str(CHECKOUT),
    }
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", *own], env=environment, text=True, cwd=home,
                          capture_output=True, timeout=60, check=False)  # fmt: skip


def belong(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(0o777)


def foreign(shared: Path, *, local: int) -> RunPaths:
    """Another user's run folder, open to all, whose records name everything that its reader owns."""
    paths = RunPaths(shared / "evil")
    for path in (paths.events, paths.logs, paths.local):
        path.mkdir(parents=True)
    paths.job.write_text(f"number=1\njob_id=7\nlocal={local}\n")
    paths.begin("0001").write_text("job_id=--me\n")
    (paths.local / "supervisor").write_text("job_id=7\n")
    for name in ("step.pid", "batch.pid"):
        (paths.local / name).write_text("-1")
    paths.stop.write_text("")
    belong(paths.folder, OTHER)
    return paths


@pytest.fixture
def home(shared: Path) -> Path:
    """The victim's home, with stand-ins for Slurm's commands that record their calls."""
    folder = shared / "victim"
    (folder / "bin").mkdir(parents=True)
    for name in ("scancel", "scontrol", "sbatch"):
        (folder / "bin" / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {folder}/called\n')
    (folder / "bin" / "squeue").write_text(
        "#!/bin/bash\necho '7|7|7|RUNNING|None|N/A|n1|/home/victim/own.sh'\n"
    )
    belong(folder, VICTIM)
    return folder


@ROOT_ONLY
@pytest.mark.parametrize("local", [0, 1])
@pytest.mark.parametrize("command", ["cancel", "requeue", "resume"])
def test_another_users_run_folder_is_only_read(shared, home, command, local):
    """It is only read: no process of the reader ends, no job is cancelled, nothing is written."""
    paths = foreign(shared, local=local)
    before = {path: path.read_bytes() for path in paths.folder.rglob("*") if path.is_file()}
    typed = (sys.executable, "-m", "clusterrun", command, str(paths.folder))
    done = as_user(VICTIM, home, *typed, inside="sleep 60 & exec 2>&1")
    assert done.returncode == 1, done.stdout
    assert f"evil belongs to user {OTHER}" in done.stdout
    assert "sleep 60" in (home / "alive").read_text()
    assert not (home / "called").exists()
    assert {path: path.read_bytes() for path in paths.folder.rglob("*") if path.is_file()} == before


@ROOT_ONLY
def test_clean_leaves_another_users_folder(shared, home):
    """This holds even if one's own index names it, and it is in a folder that all may write to."""
    paths = foreign(shared, local=0)
    paths.end("0001").write_text("cause=finished\nnext=end\nended=1\n")
    belong(paths.folder, OTHER)
    shared.chmod(0o777)
    Index({"HOME": str(home)}).add(RunRef("evil", paths, "7"))
    belong(home, VICTIM)
    (home / "bin" / "squeue").write_text("#!/bin/bash\n")
    done = as_user(
        VICTIM, home, sys.executable, "-m", "clusterrun", "clean", "--older-than", "0d", "--yes"
    )
    assert (done.returncode, paths.script.parent.is_dir()) == (0, True), done.stderr
    assert f"note: evil stays: {paths.folder} belongs to user {OTHER}" in done.stderr


@ROOT_ONLY
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_stop_writes_through_no_link_of_another_user(shared, home, kind):
    """A stop file or a task that links to the reader's own files is not written."""
    paths = foreign(shared, local=0)
    precious = home / "stop"
    precious.write_text("precious\n")
    os.chown(precious, VICTIM, VICTIM)
    if kind == "file":
        paths.stop.unlink()
        paths.stop.symlink_to(precious)
        os.chown(paths.stop, OTHER, OTHER, follow_symlinks=False)
    else:
        (paths.folder / "task-1").symlink_to(home)
        os.chown(paths.folder / "task-1", OTHER, OTHER, follow_symlinks=False)
    done = as_user(VICTIM, home, sys.executable, "-m", "clusterrun", "stop", str(paths.folder))
    assert precious.read_text() == "precious\n"
    assert done.returncode == 1, done.stderr


@ROOT_ONLY
def test_a_teammate_may_stop(shared, home):
    """The stop file of another user's run is writable if it is shared, as `share: group` promises."""
    paths = foreign(shared, local=0)
    done = as_user(VICTIM, home, sys.executable, "-m", "clusterrun", "stop", str(paths.folder))
    assert done.returncode == 0, done.stderr
    assert paths.stop.read_text().startswith("requested by ")
    assert not (home / "called").exists()
