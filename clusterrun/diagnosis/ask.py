"""Asks the run folder and Slurm why a run is in its state."""

from __future__ import annotations

from pathlib import Path

from clusterrun.diagnosis.alive import looks_alive
from clusterrun.diagnosis.answer import Stopped, Waiting, Why
from clusterrun.diagnosis.causes import STATES
from clusterrun.diagnosis.ended import failure_of, why_stopped
from clusterrun.diagnosis.log_tail import read_tail
from clusterrun.diagnosis.next import what_next
from clusterrun.diagnosis.queue import why_waiting
from clusterrun.run_folder.attempts import Attempt, list_attempts
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.current import is_local, run_status
from clusterrun.run_status.from_files import RunStatus
from clusterrun.slurm.states import State


def why(name: str, index: Index | None = None) -> Why:
    """Say why a run does not start, or stopped, and what comes next; `name` as for `status`.

    Raises SpecError where no run is called so, ClusterError where it is another user's and closed.
    """
    run = (index or Index()).find(name)
    found = run_status(run)
    if found.tasks:
        return _of_array(run, found)
    attempts = list_attempts(run.paths)
    ended = [attempt for attempt in attempts if attempt.cause]
    last = ended[-1] if ended else None
    silent = bool(attempts) and attempts[-1] is not last
    if silent and found.state.final:
        last = None  # the newest one wrote no end
    runs = found.state is State.RUNNING and silent
    return Why(
        found.run_id,
        found.state.value,
        _reason(found),
        found.job_id,
        found.folder,
        waiting=_waiting(run, found),
        alive=looks_alive(run.paths, attempts[-1]) if runs else None,
        stopped=why_stopped(run.paths, last) if last else _without_end(run.paths, found, attempts),
        next=what_next(run.paths, found, last, local=is_local(run)),
    )


def _reason(found: RunStatus) -> str:
    reason = "" if found.reason == "None" else found.reason
    return STATES.get(found.state.value, reason)


def _waiting(run: RunRef, found: RunStatus) -> Waiting | None:
    if found.state is not State.PENDING or is_local(run):
        return None
    return why_waiting(found)


def _without_end(paths: RunPaths, found: RunStatus, attempts: list[Attempt]) -> Stopped | None:
    """Where the newest attempt has recorded no end, its log may say why, or Slurm's own file."""
    if not found.state.final or found.state is State.COMPLETED:
        return None
    log = _latest_log(paths, attempts)
    failure = None
    if log is not None:
        failure = failure_of(log, read_tail(log))
    means = STATES.get(found.state.value, "it never said how it ended")
    words = "" if found.reason == "None" else found.reason
    return Stopped(found.attempt, "", words, means, f"look into {log}" if log else "", failure)


def _latest_log(paths: RunPaths, attempts: list[Attempt]) -> Path | None:
    logs = [paths.log(f"{attempt.number:04d}") for attempt in attempts]
    there = [log for log in (*sorted(paths.logs.glob("slurm-*.out")), *logs) if log.exists()]
    return there[-1] if there else None


def _of_array(run: RunRef, found: RunStatus) -> Why:
    """An array's tasks are runs of their own: the one is named that asks for a look."""
    first = next(
        (task for task in found.tasks if task.state.final and task.state is not State.COMPLETED),
        found.tasks[0],
    )
    words = what_next(run.paths, found, None, local=False)
    about = f"each task is a run of its own: `clusterrun why {first.run_id}`"
    return Why(
        found.run_id,
        found.state.value,
        f"{found.reason}; {about}",
        found.job_id,
        found.folder,
        waiting=None,
        alive=None,
        stopped=None,
        next=words,
    )
