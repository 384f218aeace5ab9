"""Where the user's runs lie, so that a run is found from any folder; and submissions under way."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.paths import RunPaths
from clusterrun.records import read_record, write_record


@dataclass(frozen=True)
class Run:
    """A run: its id, its folder, and the id of its job where one is known."""

    run_id: str
    paths: RunPaths
    job_id: str = ""


class Index:
    """The index of one user: a small file a run, named by its id, below XDG_STATE_HOME."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = environment if environment is not None else os.environ
        base = given.get("XDG_STATE_HOME") or str(Path(given.get("HOME") or "~").expanduser() / ".local" / "state")
        self.folder = Path(base) / "clusterrun"
        self.runs = self.folder / "runs"
        self.pending = self.folder / "pending"

    def make(self) -> None:
        """Make the index's folders, for this user only."""
        for folder in (self.folder, self.runs, self.pending):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, run: Run) -> None:
        """Write down where a run lies."""
        self.make()
        values = {"folder": run.paths.folder, "job_id": run.job_id}
        write_record(self.runs / run.run_id, values)

    def remove(self, run_id: str) -> None:
        """Forget a run that never was."""
        (self.runs / run_id).unlink(missing_ok=True)

    def all(self) -> list[Run]:
        """List the runs, the one written last at the end."""
        try:
            entries = [entry for entry in os.scandir(self.runs) if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []
        return [self._read(Path(entry.path)) for entry in sorted(entries, key=_written)]

    def _read(self, path: Path) -> Run:
        values = read_record(path)
        return Run(path.name, RunPaths(Path(values.get("folder", "/nonexistent"))), values.get("job_id", ""))

    def find(self, name: str) -> Run:
        """Find a run by its id, an unambiguous prefix of it, a job id, `last`, or its folder.

        Raises SpecError where none or several fit.
        """
        folder = Path(name)
        if "/" in name and (folder / "events").is_dir():
            return Run(folder.resolve().name, RunPaths(folder.resolve()), _job_of(RunPaths(folder)))
        runs = self.all()
        if name == "last" and runs:
            return runs[-1]
        exact = [run for run in runs if name in (run.run_id, run.job_id)]
        found = exact[-1:] or [run for run in runs if run.run_id.startswith(name)]
        if len(found) == 1:
            return found[0]
        hint = "`clusterrun list` shows the runs" if not found else ", ".join(run.run_id for run in found[:5])
        what = f"no run is called {name}" if not found else f"{len(found)} runs begin with {name}"
        raise SpecError([Problem("", "", what, hint)])


def _written(entry: os.DirEntry[str]) -> tuple[int, str]:
    return entry.stat().st_mtime_ns, entry.name


def _job_of(paths: RunPaths) -> str:
    attempts = paths.attempts()
    by_script = read_record(paths.begin(attempts[-1])).get("job_id") if attempts else None
    return by_script or read_record(paths.job).get("job_id", "")
