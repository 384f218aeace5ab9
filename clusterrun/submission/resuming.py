"""Resume a stopped run in a new job; what a job does by itself is in templates/."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from clusterrun.errors import ClusterError, SpecError
from clusterrun.planning.plan import Identity, LaunchPlan
from clusterrun.planning.preparation import Prepared, prepare
from clusterrun.planning.validation import plan_and_render
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.ownership import require_own_folder
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import locked, read_record, whole, write_record
from clusterrun.run_folder.removal import MARK
from clusterrun.run_status.current import refuse_other_cluster, run_status
from clusterrun.run_status.ended_runs import Summaries
from clusterrun.run_status.file_status import is_local
from clusterrun.run_status.named_run import find_run
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.queue import own_jobs
from clusterrun.slurm.states import State, state_of
from clusterrun.submission.exactly_once import (
    Handover,
    clear_pending,
    find_known_job,
    queue_job,
)
from clusterrun.submission.resumed_folder import (
    numbered_copy,
    record_jobs,
    restore_files,
    snapshot_files,
    write_submission,
)
from clusterrun.submission.saved_request import load_request

# After its end is written a job lasts for KillWait more, 30 s by default (slurm.conf(5)).
_ENDING_SECONDS = 60.0


def resume(
    name: str,
    overrides: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    index: Index | None = None,
) -> RunRef:
    """Resume a run that stopped or gave up, as a new attempt in a new job; return it with that job.

    `overrides` are `key=value` texts over the run's own spec. Raises ClusterError while the run
    lives, when it has finished, and where Slurm refuses; SpecError for mistakes in the overrides;
    NoAnswer where it is not known whether the job was queued (call again: it is looked for before
    anything is queued).
    """
    given = dict(os.environ) if environment is None else environment
    index = index or Index(given)
    run = find_run(name, index)
    _require_resumable_folder(run)
    refuse_other_cluster(run)
    index.make()
    pending = index.resumption(run)
    with locked(pending.with_suffix(".lock")) as lock:
        _require_resumable_folder(run)  # again: who held the lock may have been `clean`
        begun = read_record(pending)
        run, adopted = (
            _adopt_interrupted(run, begun, index),
            begun.get("overrides") == _digest_words(*overrides),
        )
        if begun and run.job_id and adopted and not run_status(run).state.final:
            clear_pending(pending)
            return run
        left = _require_unfinished(run, begun=bool(begun))
        _wait_for_end(run)
        what, prepared = _plan_handover(run, overrides, given, left)
        plan, script = plan_and_render(prepared, _identity_of(run))
        write_record(
            pending,
            {
                "number": what.number,
                "after": what.after,
                "job_name": what.job_name,
                "local": int(what.local),
                "overrides": _digest_words(*overrides),
            },
        )
        Summaries(index).forget(run.run_id)
        run = _queue_or_restore(what, prepared, plan, script, left, lock, pending)
        index.add(run)
        clear_pending(pending)
    return run


def _require_resumable_folder(run: RunRef) -> None:
    folder = run.paths.folder
    if not folder.is_dir() and folder.with_name(MARK + folder.name).is_dir():
        raise ClusterError(
            f"{run.run_id} is being removed by `clusterrun clean`", "submit the spec again"
        )
    if not folder.is_dir():
        raise ClusterError(
            f"the run folder {folder} is not there any more", "submit the spec again"
        )
    require_own_folder(run, "resume")
    if folder.name.startswith("task-") and read_record(RunPaths(folder.parent).intent).get("array"):
        array = run.run_id.rpartition("-")[0]
        hint = f"`clusterrun resume {array}` goes on with all of its tasks that have not finished"
        raise ClusterError(f"{run.run_id} is a task of the array {array}", hint)


def _adopt_interrupted(run: RunRef, begun: Mapping[str, str], index: Index) -> RunRef:
    """Take up a `resume` whose client was killed: its job may be queued."""
    if not begun:
        return run
    what = Handover(
        run, begun["job_name"], int(begun["number"]), begun["after"], local=begun["local"] == "1"
    )
    job_id = find_known_job(what)
    if not job_id:
        return replace(run, job_id="")
    run = record_jobs(what, job_id)
    index.add(run)
    return run


def _require_unfinished(run: RunRef, *, begun: bool) -> list[RunRef]:
    """Raise if the run is active or has finished; return the unfinished tasks of an array."""
    found = run_status(run)
    if found.state is State.UNKNOWN:
        raise NoAnswer(found.reason, "ask again when Slurm answers")
    if not found.state.final and (found.job_id or not begun):
        hint = (
            f"`clusterrun requeue {run.run_id}` lets it save and come back; `clusterrun stop` "
            "ends it first"
        )
        what = f"job {found.job_id}" if found.job_id else found.reason
        raise ClusterError(
            f"{run.run_id} is {found.state.value} ({what}): there is nothing to resume", hint
        )
    tasks = [run.task(int(task.run_id.rpartition("-")[2])) for task in found.tasks]
    left = [task for task in tasks if not _has_finished(task.paths)]
    if _has_finished(run.paths) or (tasks and not left):
        raise ClusterError(f"{run.run_id} has finished", "submit its spec again for another run")
    return left


def _has_finished(paths: RunPaths) -> bool:
    """The script would find the same and leave at once."""
    marks = [
        (read_record(paths.trainer(name)), read_record(paths.end(name)))
        for name in paths.attempts()
    ]
    return any(
        left.get("outcome") == "finished" or end.get("cause") == Cause.FINISHED
        for left, end in marks
    )


def _wait_for_end(run: RunRef) -> None:
    """A job that wrote its end may still be saving, or be killed; two attempts must not meet."""
    give_up = time.monotonic() + _ENDING_SECONDS
    while (job_id := _job_still_ending(run)) and time.monotonic() < give_up:
        time.sleep(0.5)
    if job_id:
        raise ClusterError(
            f"job {job_id} of {run.run_id} is still ending",
            "type it again when squeue shows it no more",
        )


def _job_still_ending(run: RunRef) -> str:
    job_id = run_status(run).job_id
    if is_local(run):
        from clusterrun.local import supervisor_lives  # noqa: PLC0415 - only for a local run

        return job_id if supervisor_lives(run.paths) else ""
    jobs = own_jobs(job_id) if job_id else []
    return job_id if any(not state_of(job.state).final for job in jobs) else ""


def _plan_handover(
    run: RunRef, overrides: Sequence[str], environment: Mapping[str, str], left: Sequence[RunRef]
) -> tuple[Handover, Prepared]:
    """Decide what is queued: the run's spec with overrides; of an array the unfinished tasks."""
    last = whole(read_record(run.paths.job).get("number")) or 1
    spec = numbered_copy(run.paths.spec, last)
    array = [f"slurm.array='{','.join(_task_number(task) for task in left)}'"] if left else []
    prepared = prepare(
        load_request(
            run, spec if spec.exists() else run.paths.spec, [*overrides, *array], environment
        )
    )
    after = (run.paths.attempts() or [""])[-1]
    return Handover(run, prepared.loaded.spec.name, last + 1, after, local=is_local(run)), prepared


def _task_number(task: RunRef) -> str:
    return task.run_id.rpartition("-")[2]


def _identity_of(run: RunRef) -> Identity:
    return Identity(run.run_id, PurePosixPath(run.paths.folder))


def _queue_or_restore(
    what: Handover,
    prepared: Prepared,
    plan: LaunchPlan,
    script: str,
    left: Sequence[RunRef],
    lock: int,
    pending: Path,
) -> RunRef:
    """Queue it; on a clear refusal the run is as it was before."""
    before = snapshot_files(what.run, left)
    try:
        write_submission(what, prepared, plan, script, left)
        return record_jobs(what, queue_job(what, plan, prepared.request.environment, lock))
    except NoAnswer:
        raise
    except (ClusterError, SpecError):
        restore_files(before)
        clear_pending(pending)
        raise


def _digest_words(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
