"""All runs of a user at once: what each does now, with one call of squeue and one of sacct at most."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from clusterrun import units
from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.settings import FORMAT, read_format
from clusterrun.run_status.current import Queue, Said, ask_accounts, ask_queue, is_over, run_status
from clusterrun.run_status.from_files import RunStatus, from_files, unseen
from clusterrun.run_status.summary import Summaries
from clusterrun.slurm.commands import installed
from clusterrun.slurm.states import State, state_of

_SUFFIX = re.compile(r"-\d{8}-\d{6}-[0-9a-f]{4}$|-\d+$", re.ASCII)  # what makes a run id of a name


@dataclass(frozen=True)
class Wanted:
    """Which runs are wanted; what is empty or None wants all."""

    states: frozenset[State] = frozenset()
    since: float | None = None
    """Seconds since the epoch: runs that live, or were submitted or ended since then."""
    name: str = ""
    """A shell's pattern for a run id, or for the name in it."""
    tag: str = ""
    """A word of `slurm.comment`."""

    def fits_name(self, run_id: str) -> bool:
        """Say whether a run id is wanted."""
        return not self.name or any(
            fnmatchcase(name, self.name) for name in (run_id, _SUFFIX.sub("", run_id))
        )

    def fits(self, found: RunStatus) -> bool:
        """Say whether a run is wanted, but for its name."""
        times = [moment for moment in (found.submitted, found.ended) if moment is not None]
        recent = self.since is None or not found.state.final or max(times, default=0) >= self.since
        return (
            recent
            and (not self.states or found.state in self.states)
            and (not self.tag or self.tag in found.tags)
        )


CLOSED = "its folder is closed to you"
NEWER = "made by a newer clusterrun: upgrade to read it"
LIVING = Wanted(frozenset(state for state in State if not state.final))


def wanted(state: str = "", since: str = "", name: str = "", tag: str = "") -> Wanted:
    """Read what is wanted from words; `state` may be several with commas, `since` an age (2d) or a time.

    Raises SpecError for a state that there is not, and for what is no time.
    """
    return Wanted(_states(state), _since(since) if since else None, name, tag)


def list_runs(
    index: Index | None = None,
    only: Wanted | None = None,
    *,
    look: Callable[[RunRef], RunStatus] | None = None,
) -> list[RunStatus]:
    """Say what every run of this user does now: first those that live, the newest first; then the others likewise.

    `look` says what a run does, where Slurm is not to be asked here.
    """
    index, only = index or Index(), only or Wanted()
    names = index.names()
    summaries = Summaries(index)
    ended = {
        run_id: found for run_id, found in summaries.read(names).items() if only.fits_name(run_id)
    }
    runs = {
        run_id: index.run(run_id)
        for run_id in names
        if run_id not in ended and only.fits_name(run_id)
    }
    newer = {run_id: unseen(run, NEWER) for run_id, run in runs.items() if _is_newer(run)}
    known = {
        run_id: (run, files)
        for run_id, run in runs.items()
        if run_id not in newer and (files := _readable(run))
    }
    closed = {
        run_id: unseen(run, CLOSED) for run_id, run in runs.items() if run_id not in known | newer
    }
    over = {run_id: found for run_id, (run, found) in known.items() if is_over(found, run)}
    living = {run_id: run for run_id, (run, _) in known.items() if run_id not in over}
    every: dict[str, RunStatus]
    if look:
        every = {**ended, **over, **{run_id: look(run) for run_id, run in living.items()}}
    else:
        queue = ask_queue() if living or (ended and installed()) else {}
        living |= {run_id: index.run(run_id) for run_id in _started_again(ended, queue)}
        found, more = _asked(living, queue)
        every, over = {**ended, **over, **found}, {**over, **more}
    every |= closed | newer
    summaries.add(over, names)
    newest_first = [every[run_id] for run_id in reversed(names) if run_id in every]
    return sorted(filter(only.fits, newest_first), key=lambda status: status.state.final)


def active_runs() -> list[RunStatus]:
    """Return the runs of this user that have not ended and whose folders are open, the newest first."""
    return [found for found in list_runs(only=LIVING) if found.reason != CLOSED]


def _is_newer(run: RunRef) -> bool:
    with suppress(PermissionError):
        return read_format(run.paths) > FORMAT
    return False


def _readable(run: RunRef) -> RunStatus | None:
    try:
        return from_files(run)
    except PermissionError:
        return None


def _asked(
    runs: Mapping[str, RunRef], queue: Queue | ClusterError
) -> tuple[dict[str, RunStatus], dict[str, RunStatus]]:
    """Return what Slurm makes of runs whose files do not say that they are over; and those of them that are, for good.

    What squeue calls ended may come back. What it forgot, and sacct knows as ended, does not.
    """
    first = {run_id: run_status(run, Said(queue, {})) for run_id, run in runs.items()}
    accounts = ask_accounts(first.values())
    if not accounts:
        return first, {}
    gone = {
        run_id: status
        for run_id, status in first.items()
        if any(map(_vanished, (status, *status.tasks)))
    }
    again = {run_id: run_status(runs[run_id], Said(queue, accounts)) for run_id in gone}
    settled = {
        run_id: status
        for run_id, status in again.items()
        if not status.tasks and status.state.final and not _vanished(status)
    }
    return {**first, **again}, settled


def _vanished(status: RunStatus) -> bool:
    return status.state is State.VANISHED


def _started_again(ended: Mapping[str, RunStatus], queue: Queue | ClusterError) -> list[str]:
    """List runs that had ended and have a job that lives: a person has requeued it by Slurm's own commands."""
    if isinstance(queue, ClusterError):
        return []
    jobs = [job for job in queue.values() if not state_of(job.state).final]
    alive: Collection[str] = {
        name for job in jobs for name in (job.job_id, job.raw_id, job.array_id)
    }
    return [run_id for run_id, found in ended.items() if found.job_id in alive] if alive else []


def _states(text: str) -> frozenset[State]:
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in State.__members__]
    if unknown:
        raise SpecError(
            [Problem("--state", "", f"no such state: {unknown[0]}", ", ".join(State.__members__))]
        )
    return frozenset(State[word] for word in words)


def _since(text: str) -> float:
    try:
        return units.moment_of(text.strip(), time.time())
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise SpecError([Problem("--since", "", what, hint)]) from None
