"""Remove old runs, or old checkpoints of ended runs; a run that may be active is never touched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.results import CleanedItem, Cleanup
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.records import locked
from clusterrun.run_folder.removal import MARK, delete_trash, remove, set_aside
from clusterrun.run_status.current import run_status
from clusterrun.run_status.liveness import Inquiry
from clusterrun.upkeep.cleanup_plan import (
    CleanupPlan,
    Criteria,
    Removal,
    end_time,
    is_folder_of,
    plan_clean,
    reason_to_keep,
)


def clean(criteria: Criteria, index: Index | None = None) -> list[Removal]:
    """Plan a cleanup, carry it out, and return what was removed.

    Raises SpecError for criteria without a condition, ClusterError if the disk refuses.
    """
    return carry_out(plan_clean(criteria, index), index)


def carry_out(
    plan: CleanupPlan,
    index: Index | None = None,
    report_progress: Callable[[int, int], object] | None = None,
    note: Callable[[str], object] | None = None,
) -> list[Removal]:
    """Carry out a plan and return what was removed; runs that changed or may be active stay.

    `report_progress` receives the bytes freed and their total; `note` receives why something stays.
    Raises ClusterError if the disk refuses; the next `clean` finishes the removal.
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
        if report_progress:
            report_progress(sum(one.size for one in gone), plan.size)
    return gone


def _remove_one(removal: Removal, index: Index, inquiry: Inquiry) -> str | None:
    """Remove one run or checkpoint; return why it stays, or None.

    The lock prevents a resume, and is held until the path is renamed; the deletion, which can take
    minutes, comes afterwards. An old job that starts after the rename finds no run and exits; one
    that started right before it is in the queue by then, so the queue is queried once more.
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
                if of_run and (why := inquiry.find_started_job(run)):
                    trash.rename(run.paths.folder)
                    return why
        except BlockingIOError:
            return "it is being resumed"
        delete_trash(trash)
    if of_run:
        index.remove(run.run_id)
    return None


def _reason_to_keep_now(removal: Removal, index: Index, inquiry: Inquiry) -> str | None:
    """Check one run again, right before it is removed."""
    run = removal.run
    if removal.path.name == MARK + run.run_id:
        return "it exists again" if run.paths.folder.exists() else None
    if index.resumption(run).exists():
        return f"a resume was interrupted; finish it with `clusterrun resume {run.run_id}`"
    try:
        status = run_status(run)
    except ClusterError as error:
        return error.what
    if status.state.final and (status.state.value, end_time(run, index)) != (
        removal.state,
        removal.ended,
    ):
        return "it has been resumed"
    why = reason_to_keep(run, status, ())
    return (
        inquiry.sign_of_life(run, status) or None
        if why is None
        else why or f"it is {status.state.value}"
    )


def remove_run(run: RunRef, index: Index) -> None:
    """Remove a run's folder, then its index entry. Raises ClusterError if the disk refuses."""
    if run.paths.folder.exists() and not is_folder_of(run):
        raise ClusterError(
            f"{run.paths.folder} is not the folder of {run.run_id}", "check the folder yourself"
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
            what, "fix this, then run the same `clusterrun clean` to finish the removal"
        ) from error


def as_cleanup(plan: CleanupPlan, gone: Collection[Removal]) -> Cleanup:
    """Return the planned removals, and which of them were carried out."""
    items = (CleanedItem(**one.as_dict(), removed=one in gone) for one in plan.removals)
    return Cleanup(tuple(items), plan.size, plan.notes)
