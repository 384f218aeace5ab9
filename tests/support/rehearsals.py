"""Requests to rehearse a small training on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from clusterrun.planning.preparation import Request

CHECKOUT = Path(__file__).parents[2]
SCRIPT = CHECKOUT / "tests" / "slurm" / "scripts" / "rehearsed.py"


def environment_of(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "USER": "someone"}


def request(folder: Path, name: str, **values: Any) -> Request:
    """A job spec of a command, in a folder that is its user's home."""
    folder.mkdir(exist_ok=True)
    (folder / "site.yaml").write_text(f"run_root: {folder}/runs\n")
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"name": name, "slurm": {"chdir": str(folder)}, **values}))
    return Request(
        str(path), profile=str(folder / "site.yaml"), environment=environment_of(folder), cwd=folder
    )


def counting(folder: Path, how: str) -> Request:
    return request(folder, how, command=f"PYTHONPATH={CHECKOUT} {sys.executable} {SCRIPT} {how}")
