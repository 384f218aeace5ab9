"""The statuses of all runs of a user, with at most one call of squeue and one of sacct."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from clusterrun import units
from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.files.reading import describe_fault
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.settings import FORMAT, read_format
from clusterrun.run_status.current import run_status
from clusterrun.run_status.ended_runs import Summaries
from clusterrun.run_status.file_status import RunStatus, is_over, status_from_files, unknown_status
from clusterrun.run_status.slurm_snapshot import Queue, SlurmSnapshot, query_accounting, query_queue
from clusterrun.slurm.commands import installed
from clusterrun.slurm.states import State, state_of

SUFFIX = re.compile(
    r"-\d{8}-\d{6}-[0-9a-f]{4,8}$|-\d+$", re.ASCII
)  # the part of a run id after the name


@dataclass(frozen=True)
class RunFilter:
    """The runs to list; an empty or None value matches all."""

    states: frozenset[State] = frozenset()
    since: float | None = None
    """Seconds since the epoch: runs that are active, or were submitted or ended since then."""
    name: str = ""
    """A shell pattern for the run id or the name in it."""
    tag: str = ""
    """A word of `slurm.comment`."""

    def matches_name(self, run_id: str) -> bool:
        """Return whether a run id matches."""
        return not self.name or any(
            fnmatchcase(name, self.name) for name in (run_id, SUFFIX.sub("", run_id))
        )

    def matches(self, status: RunStatus) -> bool:
        """Return whether a run matches, apart from its name."""
        times = [moment for moment in (status.submitted_at, status.ended_at) if moment is not None]
        recent = self.since is None or not status.state.final or max(times, default=0) >= self.since
        return (
            recent
            and (not self.states or status.state in self.states)
            and (not self.tag or self.tag in status.tags)
        )


CLOSED = "its folder is not readable for you"
NEWER = "created by a newer clusterrun: upgrade to read it"
ACTIVE = RunFilter(frozenset(state for state in State if not state.final))


def parse_filter(state: str = "", since: str = "", name: str = "", tag: str = "") -> RunFilter:
    """Parse the options of `list`; `state` is one or several with commas, `since` an age or a time.

    Raises SpecError for an unknown state or an invalid time.
    """
    return RunFilter(_parse_states(state), _parse_since(since) if since else None, name, tag)


def list_runs(
    index: Index | None = None,
    only: RunFilter | None = None,
    *,
    look: Callable[[RunRef], RunStatus] | None = None,
) -> list[RunStatus]:
    """Return the statuses of all runs of this user: active ones first, each group newest first.

    `look` returns the status of a run, and replaces the queries to Slurm.
    """
    index, only = index or Index(), only or RunFilter()
    names = index.names()
    summaries = Summaries(index)
    ended = {
        run_id: summary
        for run_id, summary in summaries.read(names).items()
        if only.matches_name(run_id)
    }
    runs = {
        run_id: index.reference(run_id)
        for run_id in names
        if run_id not in ended and only.matches_name(run_id)
    }
    read = {run_id: _read_files(index, run_id) for run_id in runs}
    known = {
        run_id: (runs[run_id], result)
        for run_id, result in read.items()
        if not isinstance(result, str)
    }
    unreadable = {
        run_id: unknown_status(runs[run_id], result)
        for run_id, result in read.items()
        if isinstance(result, str)
    }
    over = {run_id: one for run_id, (run, one) in known.items() if is_over(one, run)}
    active = {run_id: run for run_id, (run, _) in known.items() if run_id not in over}
    every: dict[str, RunStatus]
    if look:
        every = {**ended, **over, **{run_id: look(run) for run_id, run in active.items()}}
    else:
        queue = query_queue() if active or (ended and installed()) else {}
        active |= {run_id: index.run(run_id) for run_id in _find_restarted(ended, queue)}
        current, newly_ended = _query_slurm(active, queue)
        every, over = {**ended, **over, **current}, {**over, **newly_ended}
    every |= unreadable
    summaries.add(over, names)
    newest_first = [every[run_id] for run_id in reversed(names) if run_id in every]
    return sorted(filter(only.matches, newest_first), key=lambda status: status.state.final)


def active_runs() -> list[RunStatus]:
    """Return the active runs of this user whose folders are readable, newest first."""
    return [status for status in list_runs(only=ACTIVE) if status.reason != CLOSED]


def _read_files(index: Index, run_id: str) -> RunStatus | str:
    """Return a run's status from its files, or why they cannot be read: one run hides no other."""
    try:
        run = index.run(run_id)
        return NEWER if read_format(run.paths) > FORMAT else status_from_files(run)
    except PermissionError:
        return CLOSED
    except (OSError, ValueError) as error:
        return describe_fault(error)


def _query_slurm(
    runs: Mapping[str, RunRef], queue: Queue | ClusterError
) -> tuple[dict[str, RunStatus], dict[str, RunStatus]]:
    """Return the statuses of runs without a recorded end, and the final ones among them.

    A job that squeue reports as ended may be requeued; one that only sacct knows as ended is not.
    """
    first = {run_id: run_status(run, SlurmSnapshot(queue, {})) for run_id, run in runs.items()}
    accounts = query_accounting(first.values())
    if not accounts:
        return first, {}
    lost = {
        run_id: status
        for run_id, status in first.items()
        if any(map(_is_lost, (status, *status.tasks)))
    }
    again = {run_id: run_status(runs[run_id], SlurmSnapshot(queue, accounts)) for run_id in lost}
    settled = {
        run_id: status
        for run_id, status in again.items()
        if not status.tasks and status.state.final and not _is_lost(status)
    }
    return {**first, **again}, settled


def _is_lost(status: RunStatus) -> bool:
    return status.state is State.LOST


def _find_restarted(ended: Mapping[str, RunStatus], queue: Queue | ClusterError) -> list[str]:
    """List ended runs with an active job: a user has requeued it with Slurm's own commands."""
    if isinstance(queue, ClusterError):
        return []
    jobs = [job for job in queue.values() if not state_of(job.state).final]
    alive: Collection[str] = {
        name for job in jobs for name in (job.job_id, job.raw_id, job.array_id)
    }
    return [run_id for run_id, status in ended.items() if status.job_id in alive] if alive else []


def _parse_states(text: str) -> frozenset[State]:
    words = [word.strip().upper() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in State.__members__]
    if unknown:
        raise SpecError(
            [
                Problem(
                    "--state",
                    "",
                    f"unknown state {unknown[0]!r}",
                    f"use one of {', '.join(State.__members__)}",
                )
            ]
        )
    return frozenset(State[word] for word in words)


def _parse_since(text: str) -> float:
    try:
        return units.moment_of(text.strip(), time.time())
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise SpecError([Problem("--since", "", what, hint)]) from None
