"""What clusterrun does next: what the script recorded, put into words. The rule itself is in templates/functions."""

from __future__ import annotations

from clusterrun.diagnosis.answer import Next
from clusterrun.diagnosis.causes import pause_after
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.causes import Cause
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, whole
from clusterrun.run_folder.settings import read_settings
from clusterrun.run_status.from_files import RunStatus
from clusterrun.slurm.states import State


def what_next(paths: RunPaths, found: RunStatus, last: Attempt | None, *, local: bool) -> Next:
    """Say what comes next; `last` is the last attempt that has ended."""
    crashes = whole(read_record(paths.ledger).get("crashes")) or 0
    most = read_settings(paths).get("most_crashes")
    left = None if most is None else max(most - crashes, 0)
    words, command = _words(found, last, crashes, local=local)
    if left is not None and not found.state.final:
        words += f"; crashes or hangs that it survives before a new checkpoint: {left}"
    return Next(words, command, crashes, left)


def _words(found: RunStatus, last: Attempt | None, crashes: int, *, local: bool) -> tuple[str, str]:
    if found.state is State.COMPLETED:
        return "nothing: it has finished", ""
    if found.state.final:
        return "nothing by itself", f"clusterrun resume {found.run_id}"
    if found.state is State.NO_ANSWER:
        return "what the script decides; it goes on whether Slurm answers here or not", ""
    number = found.attempt + 1
    if found.state is State.PENDING:
        return f"attempt {number} begins {_when(found, local=local)}", ""
    if (
        last is not None and last.number == found.attempt
    ):  # the job lives, and its attempt has ended
        pause = (
            f"after a pause of {pause_after(crashes)} s "
            if last.cause in (Cause.CRASH, Cause.HANG)
            else ""
        )
        return f"{pause}the run goes on by itself as attempt {number} ({last.next})", ""
    return "it trains on" if found.attempt else "its first attempt begins", ""


def _when(found: RunStatus, *, local: bool) -> str:
    if local:
        return "here by itself"
    return f"when Slurm starts job {found.job_id}" if found.job_id else "once Slurm has the job"
