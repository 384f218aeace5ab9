"""Remove old runs, or old checkpoints of ended runs; a possibly active run is never touched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.results import CleanedItem, Cleanup
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.ownership import foreign_owner
from clusterrun.run_folder.records import locked, read_record, whole
from clusterrun.run_folder.removal import MARK, delete_trash, remove, set_aside, size_of
from clusterrun.run_status.current import run_status
from clusterrun.run_status.from_files import RunStatus
from clusterrun.run_status.listing import list_runs
from clusterrun.run_status.liveness import Inquiry, wrote_its_end
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint, checkpoints
from clusterrun.slurm.commands import installed
from clusterrun.slurm.queue import own_jobs
from clusterrun.slurm.states import State, state_of

_REHEARSAL = re.compile(r".*-(rehearsal|reference)-\d{8}-\d{6}-[0-9a-f]{4}")


@dataclass(frozen=True)
class Criteria:
    """What is to go: what fits all conditions that are given. Without any, nothing does."""

    older_than: float | None = None
    """Seconds since a run's end, or a checkpoint's save."""
    states: frozenset[State] = frozenset()
    keep: int | None = None
    """How many of the newest stay: of all runs that have ended, or of each run's checkpoints."""
    rehearsals: bool = False
    """Only what `rehearse` has left."""
    checkpoints: bool = False
    """Only checkpoints; else whole runs. This is no condition."""

    @property
    def says_what(self) -> bool:
        """Whether there is a condition at all."""
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
    """`run`, `checkpoint`, or `rest`: what was begun to be removed, and not finished."""
    state: str
    age: float
    """Seconds since it ended, or was saved."""
    size: int
    """Bytes on the disk."""
    ended: float = 0.0
    """When the run ended, in Unix seconds: if it has run again since, it stays."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "run_id": self.run.run_id,
            "kind": self.kind,
            "path": str(self.path),
            "state": self.state,
            "age": round(self.age),
            "bytes": self.size,
        }


@dataclass(frozen=True)
class CleanupPlan:
    """What goes, and why something else stays that may have been meant."""

    removals: tuple[Removal, ...]
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes that are freed."""
        return sum(removal.size for removal in self.removals)


def parse_states(text: str) -> frozenset[State]:
    """Return the states in `completed,failed`. Raises ValueError for a state that is not final."""
    known = {state.value: state for state in State if state.final}
    words = [word.strip().upper() for word in text.split(",")]
    wrong = [word for word in words if word not in known]
    if wrong:
        names = ", ".join(name.lower() for name in known)
        raise ValueError(f"{wrong[0].lower()!r} is not a state in which runs end: {names}")
    return frozenset(known[word] for word in words)


def as_cleanup(plan: CleanupPlan, gone: Collection[Removal]) -> Cleanup:
    """Return what was planned and what of it is gone, as plain values."""
    items = (CleanedItem(**one.as_dict(), removed=one in gone) for one in plan.removals)
    return Cleanup(tuple(items), plan.size, plan.notes)


def plan_clean(wish: Criteria, index: Index | None = None) -> CleanupPlan:
    """Choose what goes; removes nothing.

    Raises SpecError for a wish without a condition. Where Slurm does not answer, only runs whose
    end is written count.
    """
    if not wish.says_what:
        hint = (
            "--older-than 30d, --state failed,cancelled, --keep 10 or --rehearsals; --dry-run "
            "shows what would go"
        )
        raise SpecError([Problem("", "", "clean needs to be told what is to go", hint)])
    index = index or Index()
    dead, notes = _list_ended_runs(index)
    meant = [pair for pair in dead if not wish.states or pair[1].state in wish.states]
    meant = [pair for pair in meant if not wish.rehearsals or _REHEARSAL.fullmatch(pair[0].run_id)]
    if wish.checkpoints:
        return CleanupPlan(
            tuple(
                one for run, status in meant for one in _list_checkpoints(run, status, wish, index)
            ),
            notes,
        )
    staying = {run.run_id for run, _ in dead[-wish.keep :]} if wish.keep else set()
    gone = [
        _removal_of_run(run, status, index) for run, status in meant if run.run_id not in staying
    ]
    return CleanupPlan(
        (*_list_leftovers(index), *(one for one in gone if _is_old_enough(one, wish))), notes
    )


def clean(wish: Criteria, index: Index | None = None) -> list[Removal]:
    """Remove what fits the conditions and return it, as `plan_clean` and `carry_out` do.

    Raises SpecError for a wish without a condition, ClusterError where the disk refuses.
    """
    return carry_out(plan_clean(wish, index), index)


def carry_out(
    plan: CleanupPlan,
    index: Index | None = None,
    tell: Callable[[int, int], object] | None = None,
    note: Callable[[str], object] | None = None,
) -> list[Removal]:
    """Carry out a plan and return what was removed; runs that changed or may be active stay.

    `tell` gets how many bytes are freed, and of how many; `note` why something stays. Raises
    ClusterError where the disk refuses: the next `clean` finishes what was begun.
    """
    index, inquiry = index or Index(), Inquiry()
    index.make()
    gone = []
    for removal in plan.removals:
        why = _remove_one(removal, index, inquiry)
        if why and note:
            note(f"{removal.run.run_id} stays: {why}")
        if why is not None:
            continue
        gone.append(removal)
        if tell:
            tell(sum(one.size for one in gone), plan.size)
    return gone


def _remove_one(removal: Removal, index: Index, inquiry: Inquiry) -> str | None:
    """Remove one thing; return why it stays, or None. Nobody can resume the run meanwhile.

    The lock is held until the thing has lost its name; what takes minutes comes after.
    """
    run = removal.run
    of_run = removal.path.parent == run.paths.folder.parent
    with _disk_errors_reported(removal.path):
        try:
            with locked(index.resumption(run).with_suffix(".lock"), wait=False):
                why = _reason_to_keep_now(removal, index, inquiry)
                if why is not None:
                    return why
                trash = set_aside(
                    removal.path,
                    run.paths.folder.parent if of_run else run.paths.folder / "staging",
                )
        except BlockingIOError:
            return "it is being resumed"
        delete_trash(trash)
    if of_run:
        index.remove(run.run_id)
    return None


def _reason_to_keep_now(removal: Removal, index: Index, inquiry: Inquiry) -> str | None:
    """Ask again about one run, right before it goes."""
    run = removal.run
    if removal.path.name == MARK + run.run_id:
        return "it is there again" if run.paths.folder.exists() else None
    if index.resumption(run).exists():
        return f"a resume of it was begun: `clusterrun resume {run.run_id}` finishes it"
    try:
        status = run_status(run)
    except ClusterError as error:
        return error.what
    if status.state.final and (status.state.value, _end_time(run, index)) != (
        removal.state,
        removal.ended,
    ):
        return "it has run again since"
    why = _reason_to_keep(run, status, ())
    return (
        inquiry.sign_of_life(run, status) or None
        if why is None
        else why or f"it is {status.state.value}"
    )


def remove_run(run: RunRef, index: Index) -> None:
    """Remove a run's folder, then its index entry. Raises ClusterError if the disk refuses."""
    if run.paths.folder.exists() and not _is_folder_of(run):
        raise ClusterError(
            f"{run.paths.folder} is not the folder of {run.run_id}", "look into it yourself"
        )
    with _disk_errors_reported(run.paths.folder):
        remove(run.paths.folder)
    index.remove(run.run_id)


@contextmanager
def _disk_errors_reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{error.filename or path}: {(error.strerror or str(error)).lower()}"
        raise ClusterError(
            what, "when that is mended, the same `clusterrun clean` finishes what was begun"
        ) from error


def _is_folder_of(run: RunRef) -> bool:
    """Return whether this is the run's own folder, and no link to another place."""
    folder = run.paths.folder
    return folder.name == run.run_id and not folder.is_symlink() and run.paths.events.is_dir()


def _list_ended_runs(index: Index) -> tuple[list[tuple[RunRef, RunStatus]], tuple[str, ...]]:
    """Return the runs that have ended for sure, the oldest first, and why others do not count."""
    runs = {run.run_id: run for run in index.all()}
    living, inquiry = _list_active_jobs(), Inquiry()
    dead, notes = [], []
    for status in list_runs(index):
        run = runs.get(status.run_id)
        why = None if run is None else _reason_to_keep(run, status, living)
        if run is not None and why is None and not wrote_its_end(run, status):
            why = inquiry.sign_of_life(run, status) or None
        if run is not None and why is None:
            dead.append((run, status))
        elif why:
            notes.append(f"{status.run_id} stays: {why}")
    return sorted(dead, key=lambda pair: _end_time(pair[0], index)), tuple(notes)


def _reason_to_keep(run: RunRef, status: RunStatus, living: Collection[str]) -> str | None:
    """Return why a run must not be touched; empty if that is obvious, None if it may be."""
    if owner := foreign_owner(run.paths.folder):
        return f"{run.paths.folder} belongs to {owner}"
    if status.state is State.NO_ANSWER:
        return f"Slurm does not answer ({status.reason}), and its end is not written"
    if not status.state.final or {*status.job_ids, status.job_id} & set(living):
        # Newer Slurm may restart a finished run: its job is queued then, and needs its folder.
        return ""
    if not run.paths.folder.exists() and not run.paths.folder.is_symlink():
        return (
            None
            if run.paths.folder.parent.is_dir()
            else f"{run.paths.folder.parent} is not there now"
        )
    return None if _is_folder_of(run) else f"{run.paths.folder} is a link, or not its folder"


def _list_active_jobs() -> Collection[str]:
    """Return the ids of this user's jobs that have not ended, as far as Slurm answers."""
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


def _end_time(run: RunRef, index: Index) -> float:
    """Return when a run wrote its last word, in seconds since the epoch."""
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
    ended = _end_time(run, index)
    size = size_of(run.paths.folder)
    return Removal(
        run, run.paths.folder, "run", status.state.value, time.time() - ended, size, ended
    )


def _is_old_enough(one: Removal, wish: Criteria) -> bool:
    return wish.older_than is None or one.age > wish.older_than


def _list_leftovers(index: Index) -> Iterator[Removal]:
    """List the run folders that an interrupted `clean` has renamed already."""
    for run in index.all():
        trash = run.paths.folder.with_name(MARK + run.run_id)
        if not run.paths.folder.exists() and trash.is_dir() and not trash.is_symlink():
            yield Removal(
                run, trash, "rest", "", time.time() - trash.stat().st_mtime, size_of(trash)
            )


def _list_checkpoints(
    run: RunRef, status: RunStatus, wish: Criteria, index: Index
) -> Iterator[Removal]:
    """List the checkpoints of a run, or of each task of an array, that go."""
    ended, state = _end_time(run, index), status.state.value
    for folder in [Path(task.folder) for task in status.tasks] or [run.paths.folder]:
        if not folder.joinpath("events").is_dir():
            continue
        for path in sorted(
            folder.joinpath("staging").glob("*")
        ):  # pruned, or given up, and half removed
            yield Removal(
                run, path, "rest", state, time.time() - path.lstat().st_mtime, size_of(path), ended
            )
        for one in _select_superfluous(_keep_inside(folder, checkpoints(f"{folder}/")), wish):
            path = Path(one.path)
            yield Removal(
                run, path, "checkpoint", state, time.time() - one.time, size_of(path), ended
            )


def _keep_inside(folder: Path, found: Iterable[SavedCheckpoint]) -> list[SavedCheckpoint]:
    own = folder.resolve()
    return [
        one
        for one in found
        if not Path(one.path).is_symlink() and Path(one.path).resolve().is_relative_to(own)
    ]


def _select_superfluous(
    there: Sequence[SavedCheckpoint], wish: Criteria
) -> Iterator[SavedCheckpoint]:
    """Of one run's checkpoints, the newest whole one stays whatever the wish is."""
    staying = {
        _newest_undamaged(there),
        *(one.path for one in there[len(there) - (wish.keep or 0) :]),
    }
    for one in there:
        old = wish.older_than is None or time.time() - one.time > wish.older_than
        if old and one.path not in staying:
            yield one


def _newest_undamaged(there: Sequence[SavedCheckpoint]) -> str:
    """Return the path of the newest undamaged checkpoint; of a script's own, just the newest."""
    from clusterrun.training.checkpointing import manifest  # noqa: PLC0415 - it needs threads, for this alone

    for one in reversed(there):
        fault = one.fault if one.kind == "script" else manifest.find_damage(Path(one.path))
        if not fault:
            return one.path
    return ""
