"""A user's desk on a machine without Slurm: real processes with their own home and PATH."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from clusterrun import cli
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths


class Desk:
    """A user's machine: a home, a PATH with bash and without Slurm, and a working folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.programs = folder, folder / "home", folder / "bin"
        for path in (self.home, self.programs, folder / "tmp"):
            path.mkdir()
        (self.programs / "bash").symlink_to(str(shutil.which("bash")))
        self.environment = {
            "HOME": str(self.home), "PATH": str(self.programs), "TMPDIR": str(folder / "tmp"), "LANG": "C.UTF-8",
            "VIRTUAL_ENV": str(folder / "venv"), "PYTHONPATH": str(Path(cli.__file__).parent.parent.parent),
        }  # fmt: skip
        (folder / "venv" / "bin").mkdir(parents=True)
        (folder / "venv" / "bin" / "activate").touch()

    def write(self, text: str, name: str = "job.yaml") -> None:
        (self.folder / name).write_text(text)

    def type(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `clusterrun` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "clusterrun", *words], env=self.environment | environment, cwd=self.folder,
            text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip

    def run(self, run_id: str, *, job_id: str = "", **end: str) -> RunPaths:
        """Make a run with one attempt that ended as `end` describes."""
        paths = RunPaths(self.folder / "runs" / run_id)
        for path in (paths.events, paths.logs):
            path.mkdir(parents=True)
        paths.begin("0001").write_text(f"job_id={job_id}\n")
        paths.log("0001").write_text("first line\nlast line\n")
        if end:
            paths.end("0001").write_text("".join(f"{key}={value}\n" for key, value in end.items()))
        Index(self.environment).add(RunRef(run_id, paths, job_id))
        return paths

    def command(self, name: str, text: str) -> None:
        """Put a stand-in for one of Slurm's commands on PATH."""
        path = self.programs / name
        path.write_text(f"#!{self.programs}/bash\n{text}\n")
        path.chmod(0o755)
