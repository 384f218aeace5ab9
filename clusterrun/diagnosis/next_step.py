"""What clusterrun does next, as the script recorded it. The rule is in templates/functions."""

from __future__ import annotations

from clusterrun.diagnosis.answer import Next
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_folder.settings import read_settings
from clusterrun.run_status.file_status import RunStatus
from clusterrun.slurm.states import State


def what_next(paths: RunPaths, found: RunStatus, last: Attempt | None, *, local: bool) -> Next:
    """Return what comes next; `last` is the last attempt that has ended."""
    crashes = whole(read_record(paths.ledger).get("crashes")) or 0
    most = read_settings(paths).get("max_crashes")
    left = None if most is None else max(most - crashes, 0)
    words, command = _describe_next(found, last, crashes, local=local)
    if left is not None and not found.state.final:
        words += f"; crashes or hangs that it survives before a new checkpoint: {left}"
    return Next(words + _describe_wait(paths, found, last), command, crashes, left)


def _describe_wait(paths: RunPaths, found: RunStatus, last: Attempt | None) -> str:
    """Say how long the script waits for Slurm to end the job, and which setting that is from."""
    if found.state is not State.RUNNING or last is None or last.number != found.attempt:
        return ""
    end = read_record(paths.end(f"{last.number:04d}"))
    wait_s, source = whole(end.get("wait_s")), end.get("wait_source", "")
    if end.get("next") != "by-slurm" or wait_s is None:
        return ""
    return f"; if Slurm does not end the job within {wait_s} s ({source}), it requests a requeue"


def _describe_next(
    found: RunStatus, last: Attempt | None, crashes: int, *, local: bool
) -> tuple[str, str]:
    if found.state is State.COMPLETED:
        return "nothing: it has finished", ""
    if found.state.final:
        return "nothing by itself", f"clusterrun resume {found.run_id}"
    if found.state is State.NO_ANSWER:
        return "what the script decides; it goes on whether Slurm answers here or not", ""
    number = found.attempt + 1
    if found.state is State.PENDING:
        return f"attempt {number} begins {_describe_start(found, local=local)}", ""
    if (
        last is not None and last.number == found.attempt
    ):  # the job is active, and its attempt has ended
        pause = (
            f"after a pause of {pause_after(crashes)} s "
            if last.cause in (Cause.CRASH, Cause.HANG)
            else ""
        )
        return f"{pause}the run goes on by itself as attempt {number} ({last.next})", ""
    return "it trains on" if found.attempt else "its first attempt begins", ""


def _describe_start(found: RunStatus, *, local: bool) -> str:
    if local:
        return "here by itself"
    return f"when Slurm starts job {found.job_id}" if found.job_id else "once Slurm has the job"


def pause_after(crashes: int) -> int:
    """Return the pause after a number of crashes, in seconds: `compute_pause` of the job script."""
    return min(5 * int(3 ** min(max(crashes - 1, 0), 9)), 300)
