"""Plan a cleanup: which runs or checkpoints match the criteria, and why others stay."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.ownership import foreign_owner
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_folder.removal import MARK, size_of
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.listing import list_runs
from clusterrun.run_status.liveness import Inquiry, has_recorded_end
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint, checkpoints
from clusterrun.slurm.commands import installed
from clusterrun.slurm.queue import own_jobs
from clusterrun.slurm.states import State, state_of

_REHEARSAL = re.compile(r".*-(rehearsal|reference)-\d{8}-\d{6}-[0-9a-f]{4,8}")


@dataclass(frozen=True)
class Criteria:
    """What to remove: everything that matches all given conditions."""

    older_than: float | None = None
    """Seconds since a run's end, or a checkpoint's save."""
    states: frozenset[State] = frozenset()
    keep: int | None = None
    """How many of the newest stay, of all ended runs or of each run's checkpoints."""
    rehearsals: bool = False
    """Only the runs of `rehearse`."""
    checkpoints: bool = False
    """Remove checkpoints instead of runs. This is not a condition."""

    @property
    def has_condition(self) -> bool:
        """Whether any condition is given."""
        return (
            self.older_than is not None
            or bool(self.states)
            or self.keep is not None
            or self.rehearsals
        )


@dataclass(frozen=True)
class Removal:
    """One removal: a run with its folder and its index entry, or one of its checkpoints."""

    run: RunRef
    path: Path
    kind: str
    """`run`, `checkpoint`, or `rest`: the leftovers of an interrupted removal."""
    state: str
    age: float
    """Seconds since it ended, or was saved."""
    size: int
    """Size on disk, in bytes."""
    ended: float = 0.0
    """When the run ended, in Unix seconds; if it has been resumed since, it stays."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "run_id": self.run.run_id,
            "kind": self.kind,
            "path": str(self.path),
            "state": self.state,
            "age": round(self.age),
            "size": self.size,
        }


@dataclass(frozen=True)
class CleanupPlan:
    """What is removed, and why other runs stay."""

    removals: tuple[Removal, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Total size of the removals, in bytes."""
        return sum(removal.size for removal in self.removals)


def parse_states(text: str) -> frozenset[State]:
    """Return the states in `completed,failed`. Raises ValueError for a state that is not final."""
    known = {state.value: state for state in State if state.final}
    words = [word.strip().upper() for word in text.split(",")]
    wrong = [word for word in words if word not in known]
    if wrong:
        names = ", ".join(name.lower() for name in known)
        raise ValueError(
            f"{wrong[0].lower()!r} is not the state of an ended run; use one of {names}"
        )
    return frozenset(known[word] for word in words)


def plan_clean(criteria: Criteria, index: Index | None = None) -> CleanupPlan:
    """Choose what to remove, without removing it.

    If Slurm is not responding, only runs with an end record count. Raises SpecError without a
    condition.
    """
    if not criteria.has_condition:
        hint = (
            "use --older-than 30d, --state failed,cancelled, --keep 10 or --rehearsals; "
            "--dry-run shows what would be removed"
        )
        raise SpecError([Problem("", "", "clean needs at least one condition", hint)])
    index = index or Index()
    ended_runs, notes = _list_ended_runs(index)
    matching = [
        pair for pair in ended_runs if not criteria.states or pair[1].state in criteria.states
    ]
    matching = [
        pair for pair in matching if not criteria.rehearsals or _REHEARSAL.fullmatch(pair[0].run_id)
    ]
    if criteria.checkpoints:
        return CleanupPlan(
            tuple(
                one
                for run, status in matching
                for one in _list_checkpoints(run, status, criteria, index)
            ),
            notes,
        )
    staying = {run.run_id for run, _ in ended_runs[-criteria.keep :]} if criteria.keep else set()
    gone = [
        _removal_of_run(run, status, index) for run, status in matching if run.run_id not in staying
    ]
    return CleanupPlan(
        (*_list_leftovers(index), *(one for one in gone if _is_old_enough(one, criteria))), notes
    )


def is_folder_of(run: RunRef) -> bool:
    """Return whether this is the run's own folder, and not a link."""
    folder = run.paths.folder
    return folder.name == run.run_id and not folder.is_symlink() and run.paths.events.is_dir()


def _list_ended_runs(index: Index) -> tuple[list[tuple[RunRef, RunStatus]], tuple[str, ...]]:
    """Return the runs that have certainly ended, oldest first, and why others do not count."""
    runs = {run.run_id: run for run in index.all()}
    active_ids, inquiry = _list_active_jobs(), Inquiry()
    ended_runs, notes = [], []
    for status in list_runs(index):
        run = runs.get(status.run_id)
        why = None if run is None else reason_to_keep(run, status, active_ids)
        if run is not None and why is None and not has_recorded_end(run, status):
            why = inquiry.sign_of_life(run, status) or None
        if run is not None and why is None:
            ended_runs.append((run, status))
        elif why:
            notes.append(f"{status.run_id} stays: {why}")
    return sorted(ended_runs, key=lambda pair: end_time(pair[0], index)), tuple(notes)


def reason_to_keep(run: RunRef, status: RunStatus, active_ids: Collection[str]) -> str | None:
    """Return why a run must not be removed; empty if that is obvious, None if it may be."""
    if owner := foreign_owner(run.paths.folder):
        return f"{run.paths.folder} belongs to {owner}"
    if status.state is State.UNKNOWN:
        return f"Slurm is not responding ({status.reason}), and it left no end record"
    if not status.state.final or {*status.job_ids, status.job_id} & set(active_ids):
        # Newer Slurm may restart a finished run: its job is queued then, and needs its folder.
        return ""
    if not run.paths.folder.exists() and not run.paths.folder.is_symlink():
        return (
            None
            if run.paths.folder.parent.is_dir()
            else f"{run.paths.folder.parent} does not exist now"
        )
    return None if is_folder_of(run) else f"{run.paths.folder} is a link or not its folder"


def _list_active_jobs() -> Collection[str]:
    """Return the ids of this user's active jobs; empty if Slurm is not responding."""
    try:
        jobs = own_jobs() if installed() else []
    except ClusterError:
        return ()
    return {
        name
        for job in jobs
        if not state_of(job.state).final
        for name in (job.job_id, job.raw_id, job.array_id)
    }


def end_time(run: RunRef, index: Index) -> float:
    """Return when a run ended, in seconds since the epoch."""
    folders = [run.paths.events, *run.paths.folder.glob("task-*/events")]
    ends = [
        whole(read_record(path).get("ended"))
        for folder in folders
        for path in folder.glob("attempt-*.end")
    ]
    places = [place for place in (run.paths.events, index.runs / run.run_id) if place.exists()]
    return max(
        (float(end) for end in ends if end), default=places[0].stat().st_mtime if places else 0.0
    )


def _removal_of_run(run: RunRef, status: RunStatus, index: Index) -> Removal:
    ended = end_time(run, index)
    size = size_of(run.paths.folder)
    return Removal(
        run, run.paths.folder, "run", status.state.value, time.time() - ended, size, ended
    )


def _is_old_enough(one: Removal, criteria: Criteria) -> bool:
    return criteria.older_than is None or one.age > criteria.older_than


def _list_leftovers(index: Index) -> Iterator[Removal]:
    """List the run folders that an interrupted `clean` has renamed."""
    for run in index.all():
        trash = run.paths.folder.with_name(MARK + run.run_id)
        if not run.paths.folder.exists() and trash.is_dir() and not trash.is_symlink():
            yield Removal(
                run, trash, "rest", "", time.time() - trash.stat().st_mtime, size_of(trash)
            )


def _list_checkpoints(
    run: RunRef, status: RunStatus, criteria: Criteria, index: Index
) -> Iterator[Removal]:
    """List the checkpoints to remove, of a run or of each task of an array."""
    ended, state = end_time(run, index), status.state.value
    for folder in [Path(task.folder) for task in status.tasks] or [run.paths.folder]:
        if not folder.joinpath("events").is_dir():
            continue
        for path in sorted(
            folder.joinpath("staging").glob("*")
        ):  # pruned or abandoned, and partly removed
            yield Removal(
                run, path, "rest", state, time.time() - path.lstat().st_mtime, size_of(path), ended
            )
        for one in _select_superfluous(_keep_inside(folder, checkpoints(f"{folder}/")), criteria):
            path = Path(one.path)
            yield Removal(
                run, path, "checkpoint", state, time.time() - one.saved_at, size_of(path), ended
            )


def _keep_inside(folder: Path, checkpoints: Iterable[SavedCheckpoint]) -> list[SavedCheckpoint]:
    own = folder.resolve()
    return [
        one
        for one in checkpoints
        if not Path(one.path).is_symlink() and Path(one.path).resolve().is_relative_to(own)
    ]


def _select_superfluous(
    there: Sequence[SavedCheckpoint], criteria: Criteria
) -> Iterator[SavedCheckpoint]:
    """Yield the checkpoints to remove; the newest complete one always stays."""
    staying = {
        _newest_undamaged(there),
        *(one.path for one in there[len(there) - (criteria.keep or 0) :]),
    }
    for one in there:
        old = criteria.older_than is None or time.time() - one.saved_at > criteria.older_than
        if old and one.path not in staying:
            yield one


def _newest_undamaged(there: Sequence[SavedCheckpoint]) -> str:
    """Return the path of the newest complete checkpoint; for a script's own, the newest."""
    from clusterrun.training.checkpointing import manifest  # noqa: PLC0415 - needs threads, only for this

    for one in reversed(there):
        fault = one.fault if one.kind == "script" else manifest.find_damage(Path(one.path))
        if not fault:
            return one.path
    return ""
