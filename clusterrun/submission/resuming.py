"""Resume an ended run in a new job; automatic restarts are in templates/."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.planning.plan import Identity, LaunchPlan
from clusterrun.planning.preparation import Prepared, prepare
from clusterrun.planning.validation import list_members, plan_and_render
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.members import read_members
from clusterrun.run_folder.ownership import require_own_folder
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import locked, read_record, whole, write_record
from clusterrun.run_folder.removal import MARK
from clusterrun.run_status.current import refuse_other_cluster, run_status
from clusterrun.run_status.ended_runs import Summaries
from clusterrun.run_status.file_status import is_local
from clusterrun.run_status.named_run import find_run
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.states import State
from clusterrun.submission.exactly_once import (
    Handover,
    clear_pending,
    find_known_job,
    queue_job,
)
from clusterrun.submission.previous_jobs import refuse_started_job, wait_for_end
from clusterrun.submission.refusal import explain_refusal
from clusterrun.submission.resumed_folder import (
    numbered_copy,
    record_jobs,
    restore_files,
    snapshot_files,
    write_submission,
)
from clusterrun.submission.saved_request import load_request


def resume(
    name: str,
    overrides: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    index: Index | None = None,
) -> RunRef:
    """Resume an ended run as a new attempt in a new job; return the run with that job.

    `overrides` are `key=value` texts for the run's spec. Raises ClusterError if the run is active
    or has finished, or if Slurm refuses; SpecError for mistakes in the overrides; NoAnswer if it is
    unknown whether the job was queued (call again; clusterrun looks for the job first).
    """
    _refuse_parameters(overrides)
    resolved_environment = dict(os.environ) if environment is None else environment
    index = index or Index(resolved_environment)
    run = find_run(name, index)
    _require_resumable_folder(run)
    refuse_other_cluster(run)
    index.make()
    pending = index.resumption(run)
    with locked(pending.with_suffix(".lock")) as lock:
        _require_resumable_folder(run)  # again: `clean` may have held the lock
        interrupted = read_record(pending)
        run, adopted = (
            _adopt_interrupted(run, interrupted, index),
            interrupted.get("overrides") == _digest_words(*overrides),
        )
        if interrupted and run.job_id and adopted and not run_status(run).state.final:
            clear_pending(pending)
            return run
        left = _require_unfinished(run, interrupted=bool(interrupted))
        wait_for_end(run)
        what, prepared = _plan_handover(run, overrides, resolved_environment, left)
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


def _refuse_parameters(overrides: Sequence[str]) -> None:
    """Raise SpecError for parameters: the saved spec has their values, and no places for them."""
    for text in overrides:
        if text.startswith("parameters"):
            key = text.partition("=")[0].strip()
            what = "a run keeps the parameters that it was submitted with"
            hint = "set the value that uses it instead, such as args.lr"
            raise SpecError([Problem(f"--set {key}", key, what, hint)])


def _require_resumable_folder(run: RunRef) -> None:
    folder = run.paths.folder
    if not folder.is_dir() and folder.with_name(MARK + folder.name).is_dir():
        raise ClusterError(
            f"{run.run_id} is being removed by `clusterrun clean`", "submit the spec again"
        )
    if not folder.is_dir():
        raise ClusterError(f"the run folder {folder} no longer exists", "submit the spec again")
    require_own_folder(run, "resume")
    if folder.name.startswith("task-") and read_record(RunPaths(folder.parent).intent).get("array"):
        array = run.run_id.rpartition("-")[0]
        hint = f"use `clusterrun resume {array}` to resume all of its unfinished tasks"
        raise ClusterError(
            f"{run.run_id} is a task of the array {array} and cannot be resumed alone", hint
        )


def _adopt_interrupted(run: RunRef, interrupted: Mapping[str, str], index: Index) -> RunRef:
    """Continue a `resume` whose client was killed: its job may be queued."""
    if not interrupted:
        return run
    what = Handover(
        run,
        interrupted["job_name"],
        int(interrupted["number"]),
        interrupted["after"],
        local=interrupted["local"] == "1",
    )
    job_id = find_known_job(what)
    if not job_id:
        return replace(run, job_id="")
    run = record_jobs(what, job_id)
    index.add(run)
    return run


def _require_unfinished(run: RunRef, *, interrupted: bool) -> list[RunRef]:
    """Raise if the run is active or has finished; return the unfinished tasks of an array."""
    status = run_status(run)
    if status.state is State.UNKNOWN:
        raise NoAnswer(status.reason, "try again when Slurm is responding")
    if not status.state.final and (status.job_id or not interrupted):
        hint = (
            f"wait until it has stopped (`clusterrun wait {run.run_id}`), then resume it"
            if status.reason == "stop requested"
            else f"use `clusterrun requeue {run.run_id}` to restart it from a checkpoint, or "
            "`clusterrun stop` to stop it first"
        )
        what = ", ".join(filter(None, (status.job_id and f"job {status.job_id}", status.reason)))
        raise ClusterError(f"{run.run_id} is still {status.state.value} ({what})", hint)
    tasks = [run.task(int(task.run_id.rpartition("-")[2])) for task in status.tasks]
    left = [task for task in tasks if not _has_finished(task.paths)]
    if _has_finished(run.paths) or (tasks and not left):
        raise ClusterError(
            f"{run.run_id} has already finished", "submit its spec again for another run"
        )
    return left


def _has_finished(paths: RunPaths) -> bool:
    """Return whether training has finished, so that a new attempt would exit at once."""
    marks = [
        (read_record(paths.trainer(name)), read_record(paths.end(name)))
        for name in paths.attempts()
    ]
    return any(
        left.get("outcome") == "finished" or end.get("cause") == Cause.FINISHED
        for left, end in marks
    )


def _plan_handover(
    run: RunRef, overrides: Sequence[str], environment: Mapping[str, str], left: Sequence[RunRef]
) -> tuple[Handover, Prepared]:
    """Plan the new submission: the run's spec with overrides, or an array's unfinished tasks."""
    last = whole(read_record(run.paths.job).get("number")) or 1
    spec = numbered_copy(run.paths.spec, last)
    tasks = ",".join(_task_number(task) for task in left) or None
    is_sweep = run.paths.members.exists()
    array = [f"slurm.array='{tasks}'"] if tasks and not is_sweep else []
    source = spec if spec.exists() else run.paths.spec
    words = [*overrides, *array]
    prepared = prepare(load_request(run, source, words, environment, tasks if is_sweep else None))
    if is_sweep and list_members(prepared) != read_members(run.paths):
        hint = "submit the spec again for a sweep with other values"
        raise ClusterError("a resume cannot change the members of a sweep", hint)
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
    """Queue the job; restore the run folder if Slurm refuses."""
    before = snapshot_files(what.run, left)
    try:
        write_submission(what, prepared, plan, script, left)
        refuse_started_job(what.run, what.after)
        return record_jobs(what, queue_job(what, plan, prepared.request.environment, lock))
    except NoAnswer:
        raise
    except SpecError:
        restore_files(before)
        clear_pending(pending)
        raise
    except ClusterError as error:
        restore_files(before)
        clear_pending(pending)
        raise explain_refusal(error, prepared) from error


def _digest_words(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
