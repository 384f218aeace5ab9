"""Restart a stopped run, or requeue a running one.

What a job does by itself is in templates/.
"""

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
from clusterrun.run_folder.ownership import caller, require_own_folder, signal_job
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import locked, read_record, whole, write_record, write_whole
from clusterrun.run_folder.removal import MARK
from clusterrun.run_status.current import is_local, refuse_other_cluster, run_status
from clusterrun.run_status.from_files import RunStatus
from clusterrun.run_status.summary import Summaries
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.queue import may_requeue, own_jobs
from clusterrun.slurm.states import State, state_of
from clusterrun.submission.exactly_once import (
    Handover,
    clear_pending,
    find_known_job,
    queue_job,
    record_job,
)
from clusterrun.submission.saved_request import load_request, save_request

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
    run = index.find(name)
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


def requeue(name: str, index: Index | None = None) -> RunStatus:
    """Request a running run to save, exit and restart in the same job; a pending one is left alone.

    Raises ClusterError for a run that has ended, or whose job may not be requeued.
    """
    run = (index or Index()).find(name)
    require_own_folder(run, "requeue")
    refuse_other_cluster(run)
    found = run_status(run)
    if found.state is State.PENDING:
        return replace(found, reason="it waits already: nothing to do")
    if found.state is State.NO_ANSWER:
        raise NoAnswer(found.reason, "ask again when Slurm answers")
    if found.state.final:
        hint = f"`clusterrun resume {run.run_id}` lets it go on from its last checkpoint"
        raise ClusterError(f"{run.run_id} has ended: {found.state.value} ({found.reason})", hint)
    for task in [task for task in found.tasks if task.state is State.RUNNING] or [found]:
        _request_requeue(
            replace(run, paths=RunPaths(Path(task.folder))), task.job_id, local=is_local(run)
        )
    return replace(found, reason="asked to save and come back")


def _request_requeue(run: RunRef, job_id: str, *, local: bool) -> None:
    """Signal the steps, so that training saves and exits; `scontrol requeue` kills at once."""
    paths = run.paths
    by_requeue = read_record(paths.begin((paths.attempts() or [""])[-1])).get("by") in (
        None,
        "requeue",
    )
    if not local and by_requeue and not may_requeue(job_id):
        hint = "`clusterrun stop`, and when it has left, `clusterrun resume`"
        raise ClusterError(
            f"job {job_id} may not be requeued: requeue.on is empty, or the site forbids it", hint
        )
    write_record(paths.requeue, {"by": caller(), "time": int(time.time())})
    try:
        if local:
            from clusterrun.local import preempt  # noqa: PLC0415 - only for a local run

            preempt(paths)
        else:
            signal_job(run, job_id, "USR1")
    except ClusterError:
        paths.requeue.unlink(missing_ok=True)
        raise


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
    run = _record_jobs(what, job_id)
    index.add(run)
    return run


def _require_unfinished(run: RunRef, *, begun: bool) -> list[RunRef]:
    """Raise if the run is active or has finished; return the unfinished tasks of an array."""
    found = run_status(run)
    if found.state is State.NO_ANSWER:
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
    spec = _numbered_copy(run.paths.spec, last)
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


def _numbered_copy(path: Path, number: int) -> Path:
    """The spec or script of submission `number`, beside the newest."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


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
    before = _snapshot_files(what.run, left)
    try:
        _write_submission(what, prepared, plan, script, left)
        return _record_jobs(what, queue_job(what, plan, prepared.request.environment, lock))
    except NoAnswer:
        raise
    except (ClusterError, SpecError):
        _restore_files(before)
        clear_pending(pending)
        raise


def _write_submission(
    what: Handover, prepared: Prepared, plan: LaunchPlan, script: str, left: Sequence[RunRef]
) -> None:
    """Write the new script and clear what would stop an attempt at once; the intent comes last."""
    run = what.run
    for path in (run.paths.spec, run.paths.script):
        if not _numbered_copy(path, what.number - 1).exists():
            os.link(path, _numbered_copy(path, what.number - 1))
    write_whole(run.paths.script, script)
    for one in (run, *left):
        if one.paths.folder.is_dir():
            _clear_past(one.paths)
    for task in left:
        if attempts := task.paths.attempts():
            write_record(
                task.paths.intent,
                {"run_id": task.run_id, "number": what.number, "after": attempts[-1]},
            )
    save_request(
        run,
        prepared,
        plan.settings,
        what.number,
        what.after,
        array=read_record(run.paths.intent).get("array", ""),
    )


def _clear_past(paths: RunPaths) -> None:
    """No stop, no cancellation, nothing held against it: a person has looked at the run."""
    if paths.stop.exists():
        os.truncate(paths.stop, 0)  # as it is: a teammate may write it where the run is shared
    paths.cancelled.unlink(missing_ok=True)
    paths.requeue.unlink(missing_ok=True)
    attempts = paths.attempts()
    if attempts:
        write_record(
            paths.ledger,
            {**read_record(paths.ledger), "attempt": attempts[-1], "crashes": 0, "idle": 0},
        )
    for name in attempts:
        loaded = read_record(paths.resumed(name))
        if loaded.get("state") == "loading":  # the checkpoint is tried again
            write_record(paths.resumed(name), {**loaded, "state": "failed"})


def _record_jobs(what: Handover, job_id: str) -> RunRef:
    """Write down the job of the run, and of the tasks of an array that it goes on with."""
    run = record_job(what, job_id)
    for path in run.paths.folder.glob("task-*/events/submit.intent"):
        task = run.task(int(path.parent.parent.name.removeprefix("task-")))
        if read_record(path).get("number") == str(what.number):
            write_record(task.paths.job, {"job_id": task.job_id, "local": 0, "number": what.number})
    return run


def _snapshot_files(run: RunRef, left: Sequence[RunRef]) -> dict[Path, str | None]:
    """What `_set_free` is about to change, for the case that Slurm refuses."""
    paths = [run.paths.spec, run.paths.script, run.paths.settings]
    for one in (run, *left):
        own = one.paths
        paths += [own.stop, own.cancelled, own.ledger, own.intent, own.events / "submit.sbatch"]
        paths += [own.resumed(name) for name in own.attempts()]
    return {path: path.read_text(encoding="utf-8") if path.exists() else None for path in paths}


def _restore_files(before: Mapping[Path, str | None]) -> None:
    for path, text in before.items():
        if text is None:
            path.unlink(missing_ok=True)
        elif path.name == "stop":
            path.write_text(text, encoding="utf-8")
        else:
            write_whole(path, text)


def _digest_words(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
