"""What belongs to a run: folder, processes, jobs; nothing else is signalled, cancelled or removed.

A record is a file that anybody may have spoilt, or another user may have written. So an id that is
read from one is only a hint: the process or the job is looked at, and left alone unless it is the
run's.
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
_MARKS = (b"CLUSTERRUN_RUN_DIR=", b"run_dir=")
_LONGEST_ID = 32  # bytes; an id record is shorter


def require_own_folder(run: RunRef, action: str) -> None:
    """Refuse to do to another user's run what only its owner may; `action` completes "cannot ...".

    Raises ClusterError.
    """
    found = foreign_owner(run.paths.folder)
    if found:
        hint = f"only {found} can {action} it"
        if action in ("cancel", "requeue"):
            hint += "; `clusterrun stop` is open to the group of a run with `share: group`"
        raise ClusterError(f"{run.run_id} belongs to {found}: {run.paths.folder}", hint)


def foreign_owner(folder: Path) -> str:
    """Return the name of the other user who owns a folder; empty for one's own or a missing one."""
    try:
        found = folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if found.st_uid == os.getuid():
        return ""
    try:
        return folder.owner()
    except KeyError:  # a user without a name, as in a container
        return f"user {found.st_uid}"


def caller() -> str:
    """Return the name of the user who asks; in a container a user may have none."""
    import getpass  # noqa: PLC0415 - only for a request

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


@contextlib.contextmanager
def open_stop(paths: RunPaths) -> Iterator[int]:
    """Open a run's existing stop file for writing: a teammate may write it, but not create one.

    What lies under that name in another user's folder may be a link to a file of one's own: that is
    no stop file. Raises OSError.
    """
    owner = paths.folder.lstat().st_uid
    make = os.O_CREAT if owner == os.getuid() else 0
    descriptor = os.open(paths.stop, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | make, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
            raise PermissionError(errno.EPERM, "not the run's own stop file", str(paths.stop))
        yield descriptor
    finally:
        os.close(descriptor)


def signal_process(paths: RunPaths, record: Path, number: int) -> bool:
    """Signal the process that a local run's record names; return whether it was one of this run."""
    process_id = read_process_id(record)
    if process_id is None:
        return False
    with contextlib.suppress(OSError), _open_process(process_id) as descriptor:
        if not is_of_run(process_id, paths.folder):
            return False
        if descriptor is None:
            os.kill(process_id, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
        return True
    return False


@contextlib.contextmanager
def _open_process(process_id: int) -> Iterator[int | None]:
    """Open a process, so that the one checked is the one signalled; None before Linux 5.3."""
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
    """Return the process id that is all of a small file of one's own; None for all else, even 0."""
    try:
        descriptor = os.open(record, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            return None
        return process_id_of(os.read(descriptor, _LONGEST_ID).decode("ascii", errors="replace"))
    finally:
        os.close(descriptor)


def process_id_of(text: str) -> int | None:
    """Return the process id in a text; None if it has none, and for 1, which is never a run's."""
    return int(text) if _PROCESS_ID.fullmatch(text) and int(text) > 1 else None


def is_of_run(process_id: int, folder: Path) -> bool:
    """Say whether a process is the caller's and of a local run.

    It is known by CLUSTERRUN_RUN_DIR or run_dir in the environment that it began with, which no
    other run has.
    """
    entry = Path(f"/proc/{process_id}")
    try:
        own = entry.stat().st_uid == os.getuid()
        given = (entry / "environ").read_bytes().split(b"\0") if own else []
    except OSError:
        return False
    found = {word.partition(b"=")[2] for word in given if word.startswith(_MARKS)}
    return any(os.path.realpath(os.fsdecode(path)) == os.path.realpath(folder) for path in found)


def processes_of(folder: Path) -> list[int]:
    """List the caller's processes that are of a local run, also those in sessions of their own."""
    numbers = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    return [number for number in numbers if is_of_run(number, folder)]


def cancel_jobs(run: RunRef, job_ids: Iterable[str], *, only_pending: bool = False) -> None:
    """Cancel those of some jobs that are the run's; one that has ended is no mistake.

    Raises ClusterError where the only jobs that live are not the run's, or Slurm refuses, NoAnswer
    where it cannot be asked.
    """
    for job_id in _own_jobs(run, job_ids):
        cancel_job(job_id, only_pending=only_pending)


def signal_job(run: RunRef, job_id: str, name: str) -> None:
    """Signal the steps of a run's job. Raises ClusterError if it is another's, or has ended."""
    require_job(run, job_id)
    signal_step(job_id, name)


def require_job(run: RunRef, job_id: str) -> None:
    """Raise ClusterError where a job is not the run's, or Slurm does not know it."""
    if not _own_jobs(run, [job_id]):
        hint = f"`clusterrun status {run.run_id}` shows the run's state"
        raise ClusterError(f"Slurm does not know job {job_id or 'of the run'}", hint)


def _own_jobs(run: RunRef, job_ids: Iterable[str]) -> list[str]:
    own, others = [], []
    for job_id in dict.fromkeys(filter(None, job_ids)):
        found = job_facts(job_id)
        if any(is_job_of(run, facts) for facts in found):
            own.append(job_id)
        elif any(not facts.state.final for facts in found):
            others.append(f"job {job_id} was made from {found[0].command or 'another script'}")
    if others and not own:
        hint = f"look at the records in {run.paths.events}; nothing was signalled or cancelled"
        raise ClusterError(f"{others[0]}: it is not a job of {run.run_id}", hint)
    return own


def is_job_of(run: RunRef, facts: JobFacts) -> bool:
    """Say whether a job is the caller's and was made from the run's script.

    A script of `clusterrun render | sbatch` has no path: its run is called by the job's name and
    id.
    """
    if facts.user_id != os.getuid():
        return False
    folder = run.paths.folder
    folders = [folder, *([folder.parent] if folder.name.startswith("task-") else [])]
    scripts = {os.path.realpath(RunPaths(place).script) for place in folders}
    named = {f"{facts.name}-{number}" for number in (facts.job_id, facts.array_id) if number}
    return os.path.realpath(facts.command) in scripts or any(
        place.name in named for place in folders
    )
