"""What belongs to a run: folder, processes, jobs; nothing else is signalled, cancelled or removed.

A record may be corrupt, or written by another user. So an id from a record is only a hint: the
process or job is inspected, and not touched unless it belongs to the run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.slurm.jobs_by_id import JobFacts, job_facts
from clusterrun.slurm.queue import cancel_job, signal_step

_PROCESS_ID = re.compile(r"[1-9][0-9]{0,9}\n?")
_RUN_DIR_VARIABLES = (b"CLUSTERRUN_RUN_DIR=", b"run_dir=")
_MAX_ID_BYTES = 32  # a record of an id is shorter


def require_own_folder(run: RunRef, action: str) -> None:
    """Raise ClusterError if a run belongs to another user; `action` completes "can ... it"."""
    owner = foreign_owner(run.paths.folder)
    if owner:
        hint = f"only {owner} can {action} it"
        if action in ("cancel", "requeue"):
            hint += "; with `share: group`, its group may use `clusterrun stop`"
        raise ClusterError(f"{run.run_id} belongs to {owner}: {run.paths.folder}", hint)


def foreign_owner(folder: Path) -> str:
    """Return the name of a folder's owner; empty if the caller owns it or it does not exist."""
    try:
        status = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if status.st_uid == os.getuid():
        return ""
    try:
        return folder.owner()
    except KeyError:  # the user has no name, as in a container
        return f"user {status.st_uid}"


def caller() -> str:
    """Return the name of the calling user, or the user id if it has no name, as in a container."""
    import getpass  # noqa: PLC0415 - only needed for a request

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


@contextlib.contextmanager
def open_stop(paths: RunPaths) -> Iterator[int]:
    """Open a run's stop file for writing; a teammate may write to it, but not create it.

    In another user's folder, a link of that name could point to a file of the caller's: it is
    refused. Raises OSError.
    """
    owner = paths.folder.lstat().st_uid
    create = os.O_CREAT if owner == os.getuid() else 0
    descriptor = os.open(paths.stop, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | create, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
            raise PermissionError(errno.EPERM, "not the run's own stop file", str(paths.stop))
        yield descriptor
    finally:
        os.close(descriptor)


def signal_process(paths: RunPaths, record: Path, number: int) -> bool:
    """Signal the process in a local run's record; return whether it belonged to the run."""
    process_id = read_process_id(record)
    if process_id is None:
        return False
    with contextlib.suppress(OSError), _open_process(process_id) as descriptor:
        if not belongs_to_run(process_id, paths.folder):
            return False
        if descriptor is None:
            os.kill(process_id, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
        return True
    return False


@contextlib.contextmanager
def _open_process(process_id: int) -> Iterator[int | None]:
    """Open a process, so that the process checked is the one signalled; None before Linux 5.3."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_process_id(record: Path) -> int | None:
    """Return the process id in a small file of the caller's; None if it has other content."""
    try:
        descriptor = os.open(record, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
            return None
        return process_id_of(os.read(descriptor, _MAX_ID_BYTES).decode("ascii", errors="replace"))
    finally:
        os.close(descriptor)


def process_id_of(text: str) -> int | None:
    """Return the process id that a text consists of; None otherwise, and for 1 (init)."""
    return int(text) if _PROCESS_ID.fullmatch(text) and int(text) > 1 else None


def belongs_to_run(process_id: int, folder: Path) -> bool:
    """Return whether a process is the caller's and belongs to a local run.

    It is recognized by CLUSTERRUN_RUN_DIR or run_dir in its initial environment, which is unique
    to the run.
    """
    entry = Path(f"/proc/{process_id}")
    try:
        own = entry.stat().st_uid == os.getuid()
        variables = (entry / "environ").read_bytes().split(b"\0") if own else []
    except OSError:
        return False
    folders = {one.partition(b"=")[2] for one in variables if one.startswith(_RUN_DIR_VARIABLES)}
    return any(os.path.realpath(os.fsdecode(path)) == os.path.realpath(folder) for path in folders)


def processes_of(folder: Path) -> list[int]:
    """List the caller's processes of a local run, also those in other sessions."""
    numbers = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [number for number in numbers if belongs_to_run(number, folder)]


def cancel_jobs(run: RunRef, job_ids: Iterable[str], *, only_pending: bool = False) -> None:
    """Cancel those jobs that belong to the run; jobs that have ended are ignored.

    Raises ClusterError if the only active jobs are not the run's or if Slurm refuses, NoAnswer if
    Slurm is not responding.
    """
    for job_id in _own_jobs(run, job_ids):
        cancel_job(job_id, only_pending=only_pending)


def signal_job(run: RunRef, job_id: str, name: str) -> None:
    """Signal the steps of a run's job. Raises ClusterError if it has ended or is not the run's."""
    require_job(run, job_id)
    signal_step(job_id, name)


def require_job(run: RunRef, job_id: str) -> None:
    """Raise ClusterError if a job does not belong to the run, or if Slurm does not know it."""
    if not _own_jobs(run, [job_id]):
        hint = f"`clusterrun status {run.run_id}` shows the run's state"
        raise ClusterError(f"Slurm does not know job {job_id or 'of the run'}", hint)


def _own_jobs(run: RunRef, job_ids: Iterable[str]) -> list[str]:
    own, others = [], []
    for job_id in dict.fromkeys(filter(None, job_ids)):
        known_facts = job_facts(job_id)
        if any(is_job_of(run, facts) for facts in known_facts):
            own.append(job_id)
        elif any(not facts.state.final for facts in known_facts):
            others.append(f"job {job_id} runs {known_facts[0].command or 'another script'}")
    if others and not own:
        hint = f"check the records in {run.paths.events}; nothing was signalled or cancelled"
        raise ClusterError(f"{others[0]}, so it is not a job of {run.run_id}", hint)
    return own


def is_job_of(run: RunRef, facts: JobFacts) -> bool:
    """Return whether a job is the caller's and runs the run's script.

    A script from `clusterrun render | sbatch` has no path: its run is named by the job's name and
    id.
    """
    if facts.user_id != os.getuid():
        return False
    folder = run.paths.folder
    folders = [folder, *([folder.parent] if folder.name.startswith("task-") else [])]
    scripts = {os.path.realpath(RunPaths(one).script) for one in folders}
    names = {f"{facts.name}-{number}" for number in (facts.job_id, facts.array_id) if number}
    return os.path.realpath(facts.command) in scripts or any(one.name in names for one in folders)
