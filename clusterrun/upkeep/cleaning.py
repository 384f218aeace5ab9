"""Remove old runs, or old checkpoints of ended runs; a possibly active run is never touched."""

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
    """Remove what fits the conditions and return it, as `plan_clean` and `carry_out` do.

    Raises SpecError for criteria without a condition, ClusterError where the disk refuses.
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
    if status.state.final and (status.state.value, end_time(run, index)) != (
        removal.state,
        removal.ended,
    ):
        return "it has run again since"
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


def as_cleanup(plan: CleanupPlan, gone: Collection[Removal]) -> Cleanup:
    """Return what was planned and what of it is gone, as plain values."""
    items = (CleanedItem(**one.as_dict(), removed=one in gone) for one in plan.removals)
    return Cleanup(tuple(items), plan.size, plan.notes)
