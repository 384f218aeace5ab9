"""The Python environments of the shell that a spec is submitted from, and of a uv project."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from clusterrun.errors import Problem
from clusterrun.files.reading import is_file
from clusterrun.job_spec import Loaded


def shell_layer(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the keys of a spec's environment that the shell has values for."""
    return {**active_python(environment), **find_conda_base(environment)}


def active_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the shell's virtual environment as keys of a spec; empty without one."""
    if environment.get("VIRTUAL_ENV"):
        return {"venv": environment["VIRTUAL_ENV"]}
    if environment.get("CONDA_PREFIX"):
        return {"conda": environment["CONDA_PREFIX"]}
    if sys.prefix != sys.base_prefix and (Path(sys.prefix) / "bin" / "accelerate").exists():
        return {"venv": sys.prefix}
    return {}


def find_conda_base(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the shell's conda, or its micromamba, as a key of a spec; empty without one.

    CONDA_EXE is BASE/bin/conda; MAMBA_EXE is the program, which mamba installs next to conda.
    """
    conda, mamba = environment.get("CONDA_EXE") or "", environment.get("MAMBA_EXE") or ""
    if conda.startswith("/"):
        return {"conda_base": str(Path(conda).parent.parent)}
    if mamba.startswith("/"):
        single = Path(mamba).name == "micromamba"
        return {"conda_base": mamba if single else str(Path(mamba).parent.parent)}
    return {}


def check_uv_project(loaded: Loaded, work_dir: Path) -> Iterator[Problem]:
    """Yield a problem for a uv project without its lock file, which `uv sync --frozen` needs."""
    name = loaded.spec.environment.uv
    if name is None or is_file(work_dir / name / "uv.lock"):
        return
    there = is_file(work_dir / name / "pyproject.toml")
    what = f"{'uv.lock' if there else 'uv project'} not found: {work_dir / name}"
    hint = f"run uv lock --project {name}" if there else "name the folder of its pyproject.toml"
    yield Problem(loaded.line_of("environment", "uv"), "environment.uv", what, hint)
