"""Why a run is in its state, from its run folder and Slurm."""

from __future__ import annotations

import re
from pathlib import Path

from clusterrun.diagnosis.answer import Stopped, Waiting, Why
from clusterrun.diagnosis.attempt_end import find_failure, why_stopped
from clusterrun.diagnosis.log_tail import read_tail
from clusterrun.diagnosis.next_step import what_next
from clusterrun.diagnosis.pending_run import why_waiting
from clusterrun.diagnosis.progress_check import judge_progress
from clusterrun.run_folder.attempts import Attempt, list_attempts
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.current import run_status
from clusterrun.run_status.file_status import RunStatus, is_local
from clusterrun.run_status.named_run import find_run
from clusterrun.run_status.single_run import ENDING
from clusterrun.slurm.states import State

_STATE_MEANINGS = {
    "LOST": (
        "Slurm no longer knows the job, and the run left no end record: "
        "`sacct -j JOB` and logs/slurm-*.out may show why"
    ),
    "OUT_OF_MEMORY": "Slurm killed it for using more memory than requested: increase `slurm.mem`",
}

# A site's own squeue may not know the options; Slurm's, argparse's and getopt's words.
_REFUSED_OPTION = re.compile(
    r"unrecogni[sz]ed|(?:invalid|unknown|illegal) option|no such option|usage:", re.IGNORECASE
)


def why(name: str, index: Index | None = None) -> Why:
    """Return why a run is pending or has stopped, and what comes next; `name` as for `status`.

    Raises SpecError if no run has this name, ClusterError if its folder is closed to this user.
    """
    run = find_run(name, index)
    status = run_status(run)
    if status.tasks:
        return _diagnose_array(run, status)
    attempts = list_attempts(run.paths)
    ended = [attempt for attempt in attempts if attempt.cause]
    last = ended[-1] if ended else None
    silent = bool(attempts) and attempts[-1] is not last
    if silent and status.state.final:
        last = None  # the newest one left no end record
    runs = status.state is State.RUNNING and silent and status.reason != ENDING
    return Why(
        status.run_id,
        status.state.value,
        _describe_reason(status),
        status.job_id,
        status.folder,
        waiting=_diagnose_waiting(run, status),
        liveness=judge_progress(run.paths, attempts[-1]) if runs else None,
        stopped=why_stopped(run.paths, last)
        if last
        else _diagnose_missing_end(run.paths, status, attempts),
        next=what_next(run.paths, status, last, local=is_local(run)),
        warning=_warn_of_loss(status),
    )


def _warn_of_loss(status: RunStatus) -> str:
    if status.loss_not_finite_since is None:
        return ""
    return (
        f"the loss is {status.loss} since step {status.loss_not_finite_since}: the training learns "
        "nothing any more; `clusterrun checkpoints` lists the checkpoints from before that step"
    )


def _describe_reason(status: RunStatus) -> str:
    reason = "" if status.reason == "None" else status.reason
    if status.state is State.UNKNOWN:
        return _describe_unknown(reason)
    return _STATE_MEANINGS.get(status.state.value, reason)


def _describe_unknown(reason: str) -> str:
    if _REFUSED_OPTION.search(reason):
        return (
            f"squeue refuses what clusterrun asks ({reason}): put Slurm's own squeue, such as "
            "/usr/bin/squeue, first on PATH; `type -a squeue` lists all"
        )
    what = f" ({reason})" if reason else ""
    return f"Slurm is not responding{what}, so the state of the run is unknown; try again later"


def _diagnose_waiting(run: RunRef, status: RunStatus) -> Waiting | None:
    if status.state is not State.PENDING or is_local(run):
        return None
    return why_waiting(status)


def _diagnose_missing_end(
    paths: RunPaths, status: RunStatus, attempts: list[Attempt]
) -> Stopped | None:
    """Return why an attempt without an end record stopped, from its log or Slurm's own."""
    if not status.state.final or status.state is State.COMPLETED:
        return None
    log = _find_latest_log(paths, attempts)
    failure = None
    if log is not None:
        failure = find_failure(log, read_tail(log))
    means = _STATE_MEANINGS.get(status.state.value, "it left no end record")
    words = "" if status.reason == "None" else status.reason
    return Stopped(
        status.attempt, "", words, means, f"look at the end of {log}" if log else "", failure
    )


def _find_latest_log(paths: RunPaths, attempts: list[Attempt]) -> Path | None:
    logs = [paths.log(f"{attempt.number:04d}") for attempt in attempts]
    there = [log for log in (*sorted(paths.logs.glob("slurm-*.out")), *logs) if log.exists()]
    return there[-1] if there else None


def _diagnose_array(run: RunRef, status: RunStatus) -> Why:
    """Return the answer for an array, which names the task to look at."""
    first = next(
        (task for task in status.tasks if task.state.final and task.state is not State.COMPLETED),
        status.tasks[0],
    )
    words = what_next(run.paths, status, None, local=False)
    about = f"each task is a separate run: see `clusterrun why {first.run_id}`"
    return Why(
        status.run_id,
        status.state.value,
        f"{status.reason}; {about}",
        status.job_id,
        status.folder,
        waiting=None,
        liveness=None,
        stopped=None,
        next=words,
    )
