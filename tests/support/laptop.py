"""A user's machine without Slurm."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from clusterrun.planning.preparation import Request
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.records import read_record
from clusterrun.submission.submitting import submit
from tests.training_scripts.launches import quick_start

CHECKOUT = Path(__file__).parents[2]


class Laptop:
    """A user's machine without Slurm, with its own folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "HOME": str(folder),
            "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
            "USER": "someone",
        }
        self.index = Index(self.environment)
        self.runs: list[RunRef] = []

    def submit(self, name: str, **values: Any) -> RunRef:
        slurm = {"chdir": str(CHECKOUT), **values.pop("slurm", {})}
        variables = quick_start({"OMP_NUM_THREADS": 1, "HF_HUB_OFFLINE": 1})
        environment = {"venv": sys.prefix, "variables": variables}
        (self.folder / "site.yaml").write_text(f"run_root: {self.folder}/runs\n")
        path = self.folder / f"{name}.yaml"
        path.write_text(
            yaml.safe_dump({"name": name, "slurm": slurm, "environment": environment, **values})
        )
        profile = str(self.folder / "site.yaml")
        run = submit(
            Request(str(path), profile=profile, environment=self.environment, cwd=self.folder),
            local=True,
        )
        self.runs.append(run)
        return run

    def step(self, run: RunRef) -> int:
        return int(read_record(run.paths.progress).get("step", "0"))

    def trained(self, run: RunRef) -> tuple[list[tuple[int, float]], str]:
        """Each step's loss, and a digest of the weights."""
        output = run.paths.folder / "output"
        lines = map(json.loads, (output / "steps.jsonl").read_text().splitlines())
        return [(line["step"], line["loss"]) for line in lines], (output / "weights").read_text()

    def causes(self, run: RunRef) -> list[str]:
        return [
            read_record(run.paths.end(attempt)).get("cause", "") for attempt in run.paths.attempts()
        ]


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"still not true: {what}"
        time.sleep(0.1)
