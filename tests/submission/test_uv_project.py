"""`environment.uv`: submit synchronises the project, and the job uses its environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun.errors import ClusterError, SpecError
from clusterrun.run_status.control import wait
from tests.support.laptop import Laptop

PROJECT = '[project]\nname = "tiny"\nversion = "1"\nrequires-python = ">=3.10"\n'
UV = {"UV_PYTHON": sys.executable, "UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"}


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    made = Laptop(tmp_path)
    made.environment |= {**UV, "UV_CACHE_DIR": str(tmp_path / "cache"), "VIRTUAL_ENV": sys.prefix}
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "pyproject.toml").write_text(PROJECT)
    return made


def submit(laptop: Laptop) -> str:
    """Return the log of a run that prints its Python."""
    command = "python -c 'import sys; print(sys.prefix, flush=True)'; echo sync=$UV_NO_SYNC"
    slurm = {"chdir": str(laptop.folder)}
    run = laptop.submit("uv", command=command, environment={"uv": "project"}, slurm=slurm)
    wait(run.run_id, 60, laptop.index)
    return (run.paths.logs / "attempt-0001.log").read_text()


def test_a_project_is_synchronised_at_submit(laptop: Laptop) -> None:
    """With its lock file unchanged; the job runs in its .venv and does not synchronise again."""
    project = laptop.folder / "project"
    uv = str(Path(sys.prefix) / "bin" / "uv")
    subprocess.run([uv, "lock", "--project", project], env={**laptop.environment}, check=True)
    lock = (project / "uv.lock").read_bytes()
    log = submit(laptop)
    assert f"{project}/.venv" in log
    assert "sync=1" in log
    assert (project / "uv.lock").read_bytes() == lock


def test_a_project_without_its_lock_file_is_refused(laptop: Laptop) -> None:
    with pytest.raises(
        SpecError, match=r"environment.uv: uv.lock not found: .*project\n  hint: run uv lock"
    ):
        submit(laptop)


def test_what_uv_says_is_reported(laptop: Laptop) -> None:
    (laptop.folder / "project" / "uv.lock").write_text("nonsense")
    with pytest.raises(SpecError, match=r"uv.yaml:\d+: environment.uv: uv sync failed: "):
        submit(laptop)


def test_without_uv_the_hint_names_venv(laptop: Laptop) -> None:
    (laptop.folder / "project" / "uv.lock").touch()
    laptop.environment["PATH"] = "/usr/bin:/bin"
    with pytest.raises(ClusterError, match=r"uv is not on PATH\n  hint: install uv, or write"):
        submit(laptop)
