"""What clusterrun does next, as recorded by the job script, which decides."""

from __future__ import annotations

from pathlib import Path

from clusterrun.diagnosis.answer import Next
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_folder.settings import read_settings
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.stop_handling import handles_stop
from clusterrun.slurm.states import State


def what_next(paths: RunPaths, status: RunStatus, last: Attempt | None, *, local: bool) -> Next:
    """Return what comes next; `last` is the most recent ended attempt."""
    crashes = whole(read_record(paths.ledger).get("crashes")) or 0
    most = read_settings(paths).get("max_crashes")
    left = None if most is None else max(most - crashes, 0)
    resumed = last is not None and read_record(paths.intent).get("after") == f"{last.number:04d}"
    words, command = _describe_next(status, last, crashes, local=local)
    if resumed and status.state is State.RUNNING:
        words = f"attempt {status.attempt + 1} starts"
    if most is not None and crashes and not status.state.final:
        words += f"; crash budget: {crashes} of {most} used since the last new checkpoint"
    return Next(words + _describe_wait(paths, status, last), command, crashes, left)


def _describe_wait(paths: RunPaths, status: RunStatus, last: Attempt | None) -> str:
    """Say how long the script waits for Slurm to end the job, and which setting that is from."""
    if status.state is not State.RUNNING or last is None or last.number != status.attempt:
        return ""
    end = read_record(paths.end(f"{last.number:04d}"))
    wait_s, source = whole(end.get("wait_s")), end.get("wait_source", "")
    if end.get("next") != "by-slurm" or wait_s is None:
        return ""
    return f"; if Slurm does not end the job within {wait_s} s ({source}), it requests a requeue"


def _describe_next(
    status: RunStatus, last: Attempt | None, crashes: int, *, local: bool
) -> tuple[str, str]:
    if status.state is State.COMPLETED:
        return "nothing: the run has finished", ""
    if status.state.final:
        return "nothing by itself", f"clusterrun resume {status.run_id}"
    if status.state is State.UNKNOWN:
        return "unknown: the job does not depend on Slurm's answers here", ""
    if status.state is State.PENDING:
        return f"attempt {status.attempt + 1} starts {_describe_start(status, local=local)}", ""
    if status.reason == "stop requested":
        return _describe_stop(status)
    return _describe_running(status, last, crashes), ""


def _describe_stop(status: RunStatus) -> tuple[str, str]:
    if handles_stop(RunPaths(Path(status.folder))):
        return "the run saves a checkpoint and exits", f"clusterrun resume {status.run_id}"
    words = "the script may not handle the stop, and may train to its end"
    return words, f"clusterrun cancel {status.run_id}"


def _describe_running(status: RunStatus, last: Attempt | None, crashes: int) -> str:
    if last is None or last.number != status.attempt:
        return "training continues" if status.attempt else "the first attempt starts"
    # the job is active, and its attempt has ended
    if last.decision == "end":
        return "nothing: the run is ending"
    is_crash = last.cause in (Cause.CRASH, Cause.HANG)
    pause = f"after a pause of {pause_after(crashes)} s " if is_crash else ""
    by_slurm = " when Slurm has requeued the job" if last.decision == "by-slurm" else ""
    return f"{pause}the run continues as attempt {status.attempt + 1}{by_slurm}"


def _describe_start(status: RunStatus, *, local: bool) -> str:
    if local:
        return "on this machine by itself"
    return f"when Slurm starts job {status.job_id}" if status.job_id else "after it is submitted"


def pause_after(crashes: int) -> int:
    """Return the pause after crashes, in seconds, like `compute_pause` in the job script."""
    return min(5 * int(3 ** min(max(crashes - 1, 0), 9)), 300)
