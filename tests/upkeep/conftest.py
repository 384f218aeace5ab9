"""A user's run folders for `clean`, and the end of an attempt for notices."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.training.checkpointing import manifest
from clusterrun.upkeep.cleaning import clean
from clusterrun.upkeep.cleanup_plan import Criteria
from tests.support.web_hook import Hook, well

DAY = 86400
MONTH = Criteria(older_than=30 * DAY)


class Disk:
    """A user's run folders and index, and a squeue whose output the test sets."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "runs"
        self.programs = folder / "bin"
        self.environment = {"HOME": str(folder), "PATH": f"{self.programs}:/usr/bin:/bin"}
        self.index = Index(self.environment)
        self.programs.mkdir()
        self.queue()

    def queue(self, *lines: str) -> None:
        """Set the output of squeue and scontrol from now on: lines of `job state`."""
        jobs = list(map(str.split, lines))
        rows = [f"echo '{job}|{job}|{job}|{state}|None|N/A|n1|/x'" for job, state in jobs]
        self.command("squeue", "\n".join([*rows, "exit 0"]))
        self.known(*jobs)
        self.command("sbatch", "exit 1")
        self.command("sacct", "exit 1")

    def known(self, *jobs: Sequence[str]) -> None:
        """Set scontrol's output for a job that is requested by id."""
        facts = "UserId=me({}) JobState={} Command=/x WorkDir=/"
        cases = [
            f"{job}) echo 'JobId={job} JobName=x {facts.format(os.getuid(), state)}';;"
            for job, state in jobs
        ]
        unknown = "*) echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1;;"
        self.command("scontrol", "\n".join(["case ${@: -1} in", *cases, unknown, "esac"]))

    def command(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    def age(self, paths: RunPaths, days: float) -> None:
        """Make all files of a run this many days old."""
        then = time.time() - days * DAY
        for path in (*paths.events.iterdir(), *paths.logs.iterdir()):
            os.utime(path, (then, then))

    def run(
        self,
        run_id: str,
        *,
        days: float = 0,
        job: str = "1",
        cause: str = "finished",
        ends: bool = True,
    ) -> RunPaths:
        """A run that started, and ended this many days ago if `ends`."""
        paths = RunPaths(self.root / run_id)
        for path in (paths.events, paths.logs, paths.checkpoints):
            path.mkdir(parents=True)
        paths.begin("0001").write_text(f"job_id={job}\n")
        paths.log("0001").write_text("x" * 100_000)
        if ends:
            paths.end("0001").write_text(
                f"cause={cause}\nnext=end\nended={int(time.time() - days * DAY)}\n"
            )
        self.age(paths, days)
        self.index.add(RunRef(run_id, paths, job))
        return paths

    def checkpoint(
        self, paths: RunPaths, step: int, *, days: float = 0, damaged: bool = False
    ) -> Path:
        """A complete checkpoint, without its last byte if it is damaged."""
        folder = paths.checkpoints / f"step-{step:08d}-0001"
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"weights" * 1000)
        manifest.seal(folder, {"step": step, "attempt": 1})
        if damaged:
            (folder / "model.bin").write_bytes(b"weightz" * 1000)
        then = time.time() - days * DAY
        os.utime(folder / manifest.NAME, (then, then))
        return folder

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir())

    def clean(self, criteria: Criteria) -> list[str]:
        return [removal.path.name for removal in clean(criteria, self.index)]

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "PYTHONPATH": str(Path(cli.__file__).parents[2])}
        return subprocess.run([sys.executable, "-m", "clusterrun", "clean", *words], env=environment, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, check=False)  # fmt: skip


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    made = Disk(tmp_path)
    monkeypatch.setenv("PATH", made.environment["PATH"])
    return made


@pytest.fixture
def hooks() -> Iterator[Callable[..., Hook]]:
    started: list[Hook] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], None] = well) -> Hook:
        started.append(Hook(answer))
        return started[-1]

    yield start
    for hook in started:
        hook.server.shutdown()
        hook.server.server_close()
