"""What a user does on the login machine: writes a job spec, types clusterrun, reads the run folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clusterrun.run_folder.records import read_record
from tests.slurm.cluster import Cluster
from tests.training_scripts.launches import quick_start

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
CLUSTERRUN = Path(sys.prefix) / "bin" / "clusterrun"


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition; the pause is twice as long as the check took."""
    end = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        if true():
            return
        assert time.monotonic() < end, f"not true within {seconds} s: {what}"
        time.sleep(max(0.2, 2 * (time.monotonic() - started)))


@dataclass(frozen=True)
class Submitted:
    """A run that was submitted from the desk."""

    run_id: str
    job_id: str
    folder: Path

    def step(self) -> int:
        return int(read_record(self.folder / "progress").get("step", "0"))

    def ends(self) -> list[str]:
        """Return the causes of the attempts' ends, in order."""
        files = sorted((self.folder / "events").glob("attempt-*.end"))
        return [read_record(path)["cause"] for path in files]

    def metrics(self) -> list[dict[str, Any]]:
        """Return the training lines of the example's metrics, by step."""
        lines = (self.folder / "output" / "metrics.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if "loss" in line]

    def log(self, attempt: int = 1) -> str:
        return (self.folder / "logs" / f"attempt-{attempt:04d}.log").read_text()


@dataclass(frozen=True)
class Desk:
    """One user's desk on one cluster."""

    cluster: Cluster
    user: str
    disk: Path | None = None
    """The folder of the user's run folders; without it the cluster's scratch."""

    @property
    def run_root(self) -> Path:
        return (self.disk or self.cluster.scratch) / self.user

    def cli(self, *words: str, check: bool = True, env: Mapping[str, str] | None = None,
            timeout: float = 60, real_start: bool = False) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """Type a clusterrun command.

        It is a fork of a warm Python, unless a test is about the start of the program.
        """
        site = self.cluster.home(self.user) / "site.yaml"
        if not site.exists():
            self.write_site()
        environment = {"CLUSTERRUN_PROFILE": str(site), **(env or {})}
        run = self.cluster.run_as if real_start else self.cluster.run_warm
        return run(self.user, [CLUSTERRUN, *words], env=environment, check=check, timeout=timeout)

    def write(self, name: str, text: str) -> Path:
        """Write a file into the user's home, owned by the user."""
        path = self.cluster.home(self.user) / name
        path.write_text(text)
        home = path.parent.stat()
        shutil.chown(path, home.st_uid, home.st_gid)
        return path

    def write_site(self) -> None:
        """Write the user's profile."""
        self.write("site.yaml", f"run_root: {self.run_root}\n")

    def spec(self, name: str, *, real_launch: bool = False, **values: Any) -> Path:
        """Write a job spec, with the values that every test run shares.

        Scripts start quickly, as forks of their launcher, unless a test is about the real launch.
        """
        slurm = {"partition": "low", "time": 10, "chdir": str(CHECKOUT), **values.pop("slurm", {})}
        given = values.pop("environment", {})
        variables = {"OMP_NUM_THREADS": 1, "HF_HUB_OFFLINE": 1, **given.get("variables", {})}
        if {"script", "module"} & values.keys() and not real_launch:
            variables = quick_start(variables)
        gpus = any("gpu" in f"{key} {value}" for key, value in slurm.items())
        accelerate = values.get("accelerate", {})
        if {"script", "module"} & values.keys() and not gpus and "config_file" not in accelerate:
            # all nodes of the test clusters have GPUs
            values["accelerate"] = {"use_cpu": True, **accelerate}
        environment = {"venv": sys.prefix, **given, "variables": variables}
        spec = {"name": name, "slurm": slurm, "environment": environment, **values}
        self.write_site()
        return self.write(f"{name}.yaml", yaml.safe_dump(spec))

    def submit(self, name: str, *words: str, **values: Any) -> Submitted:
        """Write a job spec, as `spec` does, and submit it."""
        spec = self.spec(name, **values)
        return self.submitted(self.cli("submit", "--json", str(spec), *words))

    @staticmethod
    def submitted(answer: subprocess.CompletedProcess[str]) -> Submitted:
        """Read the output of `submit --json`."""
        printed = json.loads(answer.stdout)
        return Submitted(printed["run_id"], printed["job_id"], Path(printed["folder"]))

    def status(self, run: Submitted) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.cli("status", run.run_id, "--json").stdout)
        return answer

    def wait(self, run: Submitted, seconds: float = 120) -> str:
        """Wait for the end of a run and return its state."""
        answer = self.cli(
            "wait", run.run_id, "--timeout", str(seconds), check=False, timeout=seconds + 20
        )
        assert answer.returncode != 124, (
            f"{answer.stderr}\n{run.log() if (run.folder / 'logs').exists() else ''}"
        )
        return str(self.status(run)["state"])

    def preempt(self, seconds: int = 3) -> None:
        """Let another user's job take all nodes for a moment."""
        argv = [
            "sbatch",
            "--partition=high",
            "--nodes=4",
            "--exclusive",
            "--output=/dev/null",
            f"--wrap=sleep {seconds}",
        ]
        self.cluster.run_as("bob", argv)

    def jobs(self) -> list[str]:
        """List the user's active jobs: id and script."""
        return self.cluster.run_as(
            self.user, ["squeue", "--me", "--noheader", "--format=%i %o"]
        ).stdout.splitlines()
