"""The index of a user's runs, by which a run is found from any folder, and pending submissions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.run_folder.job_ids import job_ids, newest_job
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.run_folder.settings import refuse_newer
from clusterrun.slurm.ids import is_task_number, task_numbers


@dataclass(frozen=True)
class RunRef:
    """A run: its id, its folder, and the id of its job if known."""

    run_id: str
    paths: RunPaths
    job_id: str = ""

    def task(self, number: int) -> RunRef:
        """Return a task of an array, which is a separate run with its own folder."""
        job_id = f"{self.job_id}_{number}" if self.job_id else ""
        return RunRef(
            f"{self.run_id}-{number}", RunPaths(self.paths.folder / f"task-{number}"), job_id
        )


class Index:
    """The index of one user: one small file per run, named by its id, below XDG_STATE_HOME."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        variables = environment if environment is not None else os.environ
        base = variables.get("XDG_STATE_HOME") or str(
            Path(variables.get("HOME") or "~").expanduser() / ".local" / "state"
        )
        self.folder = Path(base) / "clusterrun"
        self.runs = self.folder / "runs"
        self.pending = self.folder / "pending"

    def make(self) -> None:
        """Create the folders of the index, with mode 0700. Raises ClusterError if that fails."""
        for folder in (self.folder, self.runs, self.pending):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise _index_error(folder, error) from error

    def add(self, run: RunRef) -> None:
        """Record the folder of a run."""
        self.make()
        values = {"folder": run.paths.folder, "job_id": run.job_id}
        write_record(self.runs / run.run_id, values)

    def resumption(self, run: RunRef) -> Path:
        """Return the path of the record of a `resume` in progress.

        A process that resumes or removes the run holds the lock next to it.
        """
        import hashlib  # noqa: PLC0415 - only needed when a run is changed

        name = hashlib.sha256(os.fsencode(os.path.realpath(run.paths.folder))).hexdigest()[:32]
        return self.pending / f"resume-{name}"

    def remove(self, run_id: str) -> None:
        """Remove a run from the index."""
        (self.runs / run_id).unlink(missing_ok=True)

    def all(self) -> list[RunRef]:
        """List the runs, newest last. Raises ClusterError if the index is not readable.

        An entry that cannot be read is left out: `list` shows it with the reason.
        """
        runs = []
        for name in self.names():
            with suppress(OSError):
                runs.append(self.run(name))
        return runs

    def names(self) -> dict[str, int]:
        """Return the ids of the runs, newest entry last, each with its modification time in ns.

        Raises ClusterError if the index is not readable.
        """
        try:
            entries = [
                entry
                for entry in os.scandir(self.runs)
                if not entry.name.startswith(".") and not entry.is_dir(follow_symlinks=False)
            ]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _index_error(self.runs, error) from error
        return {name: changed for changed, name in sorted(map(_entry_age, entries))}

    def run(self, run_id: str) -> RunRef:
        """Return a run of the index."""
        values = read_record(self.runs / run_id)
        return RunRef(
            run_id, RunPaths(Path(values.get("folder", "/nonexistent"))), values.get("job_id", "")
        )

    def reference(self, run_id: str) -> RunRef:
        """Return a run of the index; one without a folder if its entry cannot be read."""
        try:
            return self.run(run_id)
        except OSError:
            return RunRef(run_id, RunPaths(Path("/nonexistent")), "")

    def find(self, name: str) -> RunRef:
        """Find a run by name.

        Raises ClusterError if no run or several match, or if a newer clusterrun made its folder.
        """
        run = self._find(name)
        with suppress(OSError):  # not readable, or corrupt: whoever reads it reports that
            refuse_newer(run.paths)
        return run

    def _find(self, name: str) -> RunRef:
        """Find a run by its id, an unambiguous prefix of it, a job id, `last`, or its folder.

        A task of an array is `<run id>-<task>`, `<job id>_<task>`, or its folder. Raises SpecError
        if no run or several match, ClusterError if the folder belongs to another user and is not
        readable.
        """
        if not name:
            raise SpecError(
                [Problem("", "", "RUN must not be empty", "`clusterrun list` shows the runs")]
            )
        if "/" in name and (run := _find_in_folder(Path(name))):
            return run
        names = self.names()
        if name in names or (name == "last" and names):  # without reading the other runs
            return self.run(name if name in names else next(reversed(names)))
        runs = self.all()
        exact = (
            [run for run in runs if name == run.job_id]
            or _find_task(runs, name)
            or _find_by_later_job(runs, name)
        )
        matches = exact[-1:] or [run for run in runs if run.run_id.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        if not matches:
            hint = "`clusterrun list` shows the runs"
            raise SpecError([Problem("", "", f"no run named {name} found", hint)])
        hint = ", ".join(run.run_id for run in matches[:5])
        raise SpecError([Problem("", "", f"{len(matches)} runs start with {name}", hint)])


def _index_error(folder: Path, error: OSError) -> ClusterError:
    hint = "fix or move that path, or set XDG_STATE_HOME to a folder of yours"
    reason = (error.strerror or str(error)).lower()
    return ClusterError(f"cannot use the index of your runs, {folder}: {reason}", hint)


def _entry_age(entry: os.DirEntry[str]) -> tuple[int, str]:
    return entry.stat(follow_symlinks=False).st_mtime_ns, entry.name


def _find_task(runs: list[RunRef], name: str) -> list[RunRef]:
    """Find the task of an array by `<run id>-<task>` or `<job id>_<task>`."""
    for separator in "-_":
        array_name, _, number = name.rpartition(separator)
        arrays = [
            run
            for run in runs
            if array_name and array_name == (run.run_id if separator == "-" else run.job_id)
        ]
        array = read_record(arrays[-1].paths.intent).get("array", "") if arrays else ""
        if is_task_number(number) and int(number) in task_numbers(array):
            return [arrays[-1].task(int(number))]
    return []


def _find_by_later_job(runs: list[RunRef], name: str) -> list[RunRef]:
    """Find the run by any of its jobs, such as a successor."""
    if not name.isdecimal():
        return []
    return [
        run for run in runs if os.access(run.paths.events, os.R_OK) and name in job_ids(run.paths)
    ]


def _find_in_folder(folder: Path) -> RunRef | None:
    try:
        if not (folder / "events").is_dir():
            return None
        folder = folder.resolve()
    except PermissionError as error:
        raise ClusterError(*describe_closed_folder(folder)) from error
    paths, above = RunPaths(folder), RunPaths(folder.parent)
    number = folder.name.removeprefix("task-")
    if number != folder.name and is_task_number(number) and above.events.is_dir():
        return RunRef(folder.parent.name, above, _read_newest_job(above)).task(int(number))
    return RunRef(folder.name, paths, _read_newest_job(paths))


def describe_closed_folder(folder: Path) -> tuple[str, str]:
    """Return a message and a hint about a folder that another user has not opened."""
    if os.access(RunPaths(folder).stop, os.W_OK):
        return (
            f"only the owner of {folder} may see this",
            "you may use `clusterrun stop` and `clusterrun logs` on this run",
        )
    hint = (
        f"ask {_owner_name(folder)} to submit with `share: group`, which lets the group read the "
        "logs and stop the run"
    )
    return f"no permission to read {folder}", hint


def _owner_name(folder: Path) -> str:
    for parent in (folder, *folder.parents):
        try:
            return parent.owner()
        except (OSError, KeyError):  # the folder is not readable, or the user has no name
            continue
    return "its owner"


def _read_newest_job(paths: RunPaths) -> str:
    try:
        return newest_job(paths)
    except PermissionError:  # a teammate may only read the logs and write to `stop`
        return ""
