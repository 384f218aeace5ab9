"""What clusterrun does next, as recorded by the job script, which decides."""

from __future__ import annotations

from pathlib import Path

from clusterrun.diagnosis.answer import Next
from clusterrun.diagnosis.resume_point import describe_resume
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_folder.settings import read_settings
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.single_run import ENDING
from clusterrun.run_status.stop_handling import handles_stop
from clusterrun.slurm.states import State


def what_next(paths: RunPaths, status: RunStatus, last: Attempt | None, *, local: bool) -> Next:
    """Return what comes next; `last` is the most recent ended attempt."""
    crashes = whole(read_record(paths.ledger).get("crashes")) or 0
    most = read_settings(paths).get("max_crashes")
    left = None if most is None else max(most - crashes, 0)
    resumed = last is not None and read_record(paths.intent).get("after") == f"{last.number:04d}"
    words, command = _describe_next(paths, status, last, crashes, local=local)
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
    paths: RunPaths, status: RunStatus, last: Attempt | None, crashes: int, *, local: bool
) -> tuple[str, str]:
    if status.state.final:
        if status.state is State.COMPLETED:
            return "nothing: the run has finished", ""
        return "nothing by itself", f"clusterrun resume {status.run_id}"
    if status.state is State.UNKNOWN:
        return "unknown until Slurm responds; the job itself is not affected", ""
    if status.state is State.PENDING:
        return _describe_pending(paths, status, local=local), ""
    has_ended = last is not None and last.number == status.attempt
    if status.reason in ("stop requested", "requeue requested") and not has_ended:
        return _describe_request(status, local=local)
    return _describe_running(paths, status, last, crashes), ""


def _describe_request(status: RunStatus, *, local: bool) -> tuple[str, str]:
    """Describe a stop or a requeue that was requested, and that the attempt has not answered."""
    request = status.reason.split()[0]
    if not handles_stop(RunPaths(Path(status.folder))):
        words = f"the script may not handle the {request}, and may train to its end"
        return words, f"clusterrun cancel {status.run_id}"
    if request == "stop":
        return "the run saves a checkpoint and exits", f"clusterrun resume {status.run_id}"
    queue = "" if local else f"waits in the queue as job {status.job_id}, "
    then = f"{queue}and resumes from that checkpoint as attempt {status.attempt + 1}"
    return f"the run saves a checkpoint, exits, {then}", ""


def _describe_running(
    paths: RunPaths, status: RunStatus, last: Attempt | None, crashes: int
) -> str:
    if last is None or last.number != status.attempt:
        if status.reason == ENDING:
            return _describe_end_of_job(paths, status)
        return "training continues" if status.attempt else "the first attempt starts"
    # the job is active, and its attempt has ended
    if last.decision == "end":
        return "nothing: the run is ending"
    is_crash = last.cause in (Cause.CRASH, Cause.HANG)
    pause = f"after a pause of {pause_after(crashes)} s " if is_crash else ""
    start = describe_resume(paths)
    start = "continues" if start == "starts" else start.replace("resumes", "continues", 1)
    by_slurm = " when Slurm has requeued the job" if last.decision == "by-slurm" else ""
    return f"{pause}the run {start} as attempt {status.attempt + 1}{by_slurm}"


def _describe_end_of_job(paths: RunPaths, status: RunStatus) -> str:
    then = f"attempt {status.attempt + 1} {describe_resume(paths)}"
    return f"Slurm is ending job {status.job_id}; if it is requeued, {then}"


def _describe_pending(paths: RunPaths, status: RunStatus, *, local: bool) -> str:
    following = f"attempt {status.attempt + 1}"
    if not status.attempt:
        return f"{following} starts {_describe_start(status, local=local)}"
    following += f" {describe_resume(paths)}"
    if local:
        return f"{following} on this machine by itself"
    if not status.job_id:
        return f"{following} after the run is submitted"
    return f"the run waits in the queue as job {status.job_id}; {following} when the job starts"


def _describe_start(status: RunStatus, *, local: bool) -> str:
    if local:
        return "on this machine by itself"
    return f"when Slurm starts job {status.job_id}" if status.job_id else "after it is submitted"


def pause_after(crashes: int) -> int:
    """Return the pause after crashes, in seconds, like `compute_pause` in the job script."""
    return min(5 * int(3 ** min(max(crashes - 1, 0), 9)), 300)
