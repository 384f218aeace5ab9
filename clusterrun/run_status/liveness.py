"""Whether a run may still live, asked from several sides: no single answer of Slurm's lets a folder be removed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.local import supervisor_host, supervisor_lives
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.job_ids import smaller_job
from clusterrun.run_folder.ownership import processes_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.current import is_local
from clusterrun.run_status.from_files import RunStatus, last_end
from clusterrun.slurm.commands import installed
from clusterrun.slurm.jobs_by_id import job_facts
from clusterrun.slurm.queue import own_jobs
from clusterrun.slurm.states import state_of

QUIET_S = 86_400.0
"""How long the files of a run without an end of its own must not have changed, where Slurm says nothing of its job."""
_ENDING_S = (
    120.0  # KillWait (30 s by default, slurm.conf(5)), and what a batch script writes after its end
)
_FRESH_S = 600.0


@dataclass
class Inquiry:
    """Questions about one run after the other; a Slurm that did not answer once is not asked again."""

    answers: bool = True

    def sign_of_life(self, run: RunRef, status: RunStatus) -> str:
        """Say why a run may be alive that looks dead; empty where it is not.

        Where Slurm does not answer, only a run that wrote its own end is dead.
        """
        over = wrote_its_end(run, status)
        if is_local(run):
            return _sign_here(run, over=over) or _fresh_log(run, status)
        found = ""
        if self.answers and installed():
            try:
                found = self._sign_in_slurm(run, status, over=over)
            except ClusterError as error:
                self.answers, found = False, "" if over else f"Slurm does not answer ({error.what})"
        elif not over:
            found = _quiet_enough(run) if not installed() else "Slurm does not answer"
        return found or _fresh_log(run, status)

    def _sign_in_slurm(self, run: RunRef, status: RunStatus, *, over: bool) -> str:
        ids = _ids(run, status)
        living = [job for job in own_jobs() if not state_of(job.state).final]
        script = str(run.paths.script)
        alive = [
            job.job_id
            for job in living
            if job.command == script or {job.job_id, job.raw_id, job.array_id} & ids
        ]
        facts = [one for job_id in sorted(ids) for one in job_facts(job_id)]
        alive += [one.job_id for one in facts if not one.state.final]
        if alive:
            return f"job {alive[0]} is in the queue"
        if over or facts or self._accounted(run, status):
            return ""
        return _quiet_enough(run)

    @staticmethod
    def _accounted(run: RunRef, status: RunStatus) -> bool:
        """Say whether sacct knows that the job has ended, and does not only know nothing of it."""
        from clusterrun.slurm.submitit_seam import accounted_states  # noqa: PLC0415 - submitit is slow to import

        word = (
            accounted_states([status.job_id], run.paths.folder).get(status.job_id)
            if status.job_id
            else ""
        )
        return bool(word) and state_of(str(word)).final


def wrote_its_end(run: RunRef, status: RunStatus) -> bool:
    """Say whether a run, or each task of an array, has written that it ended for good."""
    runs = [
        RunRef(task.run_id, RunPaths(Path(task.folder)), task.job_id) for task in status.tasks
    ] or [run]
    return all(last_end(one).get("next") == "end" for one in runs)


def _ids(run: RunRef, status: RunStatus) -> set[str]:
    """The jobs that may be the run's newest: of many successors the last two, and what each task had."""
    tasks = {task.job_id.partition("_")[0] for task in status.tasks}
    return {
        job_id
        for job_id in (*status.job_ids[-2:], status.job_id, smaller_job(run.paths), *tasks)
        if job_id
    }


def _sign_here(run: RunRef, *, over: bool) -> str:
    if supervisor_lives(run.paths):
        return "its supervisor is running"
    if found := processes_of(run.paths.folder):
        return f"its process {found[0]} is running"
    host = supervisor_host(run.paths)
    if over or host == os.uname().nodename:
        return ""
    return f"it wrote no end, and runs on {host}" if host else _quiet_enough(run)


def _quiet_enough(run: RunRef) -> str:
    """A run that never said that it ended, and of which Slurm says nothing, has been quiet for a day."""
    age = time.time() - max(_changes(run.paths), default=0.0)
    hours = f"{max(age, 0) / 3600:.1f} h"
    return (
        f"it wrote no end, and its files changed {hours} ago, less than a day"
        if age < QUIET_S
        else ""
    )


def _fresh_log(run: RunRef, status: RunStatus) -> str:
    """A run that ended, and is written to still, lives again."""
    newest = max(_changes(run.paths), default=0.0)
    ended = max((one.ended or 0 for one in (status, *status.tasks)), default=0)
    fresh = ended and newest > ended + _ENDING_S and time.time() - newest < _FRESH_S
    return (
        f"its files changed {max(time.time() - newest, 0):.0f} s ago, after its end"
        if fresh
        else ""
    )


def _changes(paths: RunPaths) -> Iterator[float]:
    """Yield when what an attempt writes was changed."""
    for folder in (paths.folder, *paths.folder.glob("task-*")):
        own = RunPaths(folder)
        attempts = (*own.events.glob("attempt-*"), own.job, own.intent)
        for path in (*own.logs.glob("*"), *attempts, own.progress, own.saves, own.current):
            try:
                yield path.lstat().st_mtime
            except OSError:
                continue
