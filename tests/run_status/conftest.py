"""A user's runs, with stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.listing import list_runs, parse_filter


def now() -> int:
    return int(time.time())


class Machine:
    """A user's index and runs, and stand-ins for Slurm's commands that count how often they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.index = folder, Index({"HOME": str(folder)})
        (folder / "bin").mkdir()
        self.command("sbatch", "exit 1")
        self.queue()
        self.command("sacct", "echo 'JobID|JobIDRaw|State|NodeList'")

    def command(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\necho {name} >> {self.folder}/calls\n{text}\n")
        path.chmod(0o755)

    def queue(self, *jobs: str) -> None:
        """Let squeue know these jobs, `id STATE`."""
        lines = [
            f"{job}|{job}|{job}|{state}|None|N/A N/A|n1|/x" for job, state in map(str.split, jobs)
        ]
        self.command("squeue", "".join(f"echo '{line}'\n" for line in lines))

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []

    def run(self, run_id: str, job_id: str = "", comment: str = "", **end: object) -> RunPaths:
        """Make a run that started, and ended as `end` describes."""
        paths = RunPaths(self.folder / "runs" / run_id)
        paths.events.mkdir(parents=True)
        write_record(paths.intent, {"run_id": run_id, "number": 1, "comment": comment})
        write_record(
            paths.job, {"job_id": job_id, "number": 1, "submitted": end.pop("submitted", now())}
        )
        write_record(paths.begin("0001"), {"job_id": job_id, "began": now()})
        if end:
            write_record(paths.end("0001"), {"exit_code": 0, "next": "end", "ended": now(), **end})
        self.index.add(RunRef(run_id, paths, job_id))
        return paths

    def states(self, **only: str) -> dict[str, str]:
        return {
            status.run_id: status.state.value
            for status in list_runs(self.index, parse_filter(**only))
        }


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Machine(tmp_path)
