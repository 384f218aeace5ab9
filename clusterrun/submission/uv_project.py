"""The virtual environment of a uv project, brought up to date where the run is submitted.

Nodes never run `uv sync` or `uv run`: several at once corrupt an environment on a shared disk
(github.com/astral-sh/uv, issues 12751 and 17399), and they often have no internet.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.planning.preparation import Prepared
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.records import locked

_SECONDS = 3600.0  # the first time, torch alone is several gigabytes


def synchronise_uv_project(prepared: Prepared, index: Index) -> None:
    """Run `uv sync --frozen` for a spec with `environment.uv`.

    Raises ClusterError without uv, and SpecError if uv fails.
    """
    name = prepared.loaded.spec.environment.uv
    if name is None:
        return
    environment = prepared.request.environment
    uv = shutil.which("uv", path=environment.get("PATH"))
    if uv is None:
        hint = "install uv, or write environment: {venv: .venv} for an environment that is ready"
        raise ClusterError("environment.uv: uv is not on PATH", hint)
    folder = prepared.work_dir / name
    argv = [uv, "sync", "--frozen", "--project", str(folder)]
    variables = {key: value for key, value in environment.items() if key != "VIRTUAL_ENV"}
    variables["UV_PROJECT_ENVIRONMENT"] = str(folder / ".venv")
    with locked(index.pending / "uv.lock"):
        done = _call(argv, variables)
    if done.returncode:
        what = (done.stderr.strip().splitlines() or ["no message"])[-1].strip()
        where = prepared.loaded.line_of("environment", "uv")
        hint = f"run uv sync --frozen --project {folder}"
        raise SpecError([Problem(where, "environment.uv", f"uv sync failed: {what}", hint)])


def _call(argv: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            env=environment,
            cwd=Path(argv[-1]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", f"timed out after {_SECONDS:.0f} s")
