"""`Run`, and the commands about runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from clusterrun.diagnosis import Why
from clusterrun.diagnosis import why as diagnose
from clusterrun.planning.requests import JobLike, make_request
from clusterrun.rehearsal.rehearsing import rehearse as rehearse_request
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.reporting import run_report
from clusterrun.reporting.page.drawing import render_page
from clusterrun.reporting.run_report import RunReport
from clusterrun.run_folder.attempts import Attempt, list_attempts
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_logs import reading as log_reading
from clusterrun.run_logs.filters import LogFilter
from clusterrun.run_logs.reading import LogLine
from clusterrun.run_status import control as track
from clusterrun.run_status import listing
from clusterrun.run_status import saved_checkpoints as inventory
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import Outlook
from clusterrun.run_status.forecast import outlook as look_ahead
from clusterrun.run_status.named_run import find_run
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint
from clusterrun.submission import requeuing, resuming
from clusterrun.submission.submitting import submit as submit_request
from clusterrun.upkeep.notification import NotificationTest
from clusterrun.upkeep.notification import notify as send_test


@dataclass(frozen=True)
class Run:
    """A run. Each method queries again, and raises the errors of the function of the same name."""

    run_id: str
    """The run id, which the commands accept."""
    folder: Path
    """The run folder."""
    job_id: str = ""
    """The job id at submit; `status().job_id` is the current one."""

    @classmethod
    def find(cls, name: str | Path) -> Run:
        """Find a run by its id, a prefix, a job id, `last`, or its folder. Raises SpecError."""
        return _make_run(find_run(find_name(name)))

    def status(self) -> RunStatus:
        """Return the current status."""
        return status(self)

    def attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts, the oldest first."""
        return tuple(list_attempts(RunPaths(self.folder)))

    def outlook(self) -> Outlook:
        """Return the speed, the remaining time, and the next and last checkpoint."""
        return look_ahead(self.status())

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until the run has ended for good, at most `timeout` seconds. Raises TimeoutError."""
        return wait(self, timeout)

    def logs(
        self,
        *,
        attempt: int | Literal["all"] | None = None,
        follow: bool = False,
        rank: int | None = None,
        node: str | None = None,
        grep: str | None = None,
    ) -> Iterator[str]:
        """Yield the output in pieces; the options are those of `clusterrun.logs`."""
        return logs(self, attempt=attempt, follow=follow, rank=rank, node=node, grep=grep)

    def why(self) -> Why:
        """Return why the run is waiting or has stopped, and what happens next."""
        return why(self)

    def report(self, *, html: str | Path | None = None) -> RunReport:
        """Return how the run spent its time; `html` is a file for a page with its curves."""
        return report(self, html=html)

    def checkpoints(self, *, verify: bool = False) -> tuple[SavedCheckpoint, ...]:
        """Return the checkpoints; `verify` reads every byte."""
        return checkpoints(self, verify=verify)

    def stop(self) -> RunStatus:
        """Request that the run saves a checkpoint and exits; it does not restart by itself."""
        return stop(self)

    def requeue(self) -> RunStatus:
        """Request that the run saves a checkpoint and restarts."""
        return requeue(self)

    def resume(self, overrides: Sequence[str] = ()) -> Run:
        """Resume the run after it has stopped; `overrides` are values such as `slurm.time=1-0`."""
        return resume(self, overrides=overrides)

    def cancel(self) -> RunStatus:
        """Cancel the run at once, without a checkpoint."""
        return cancel(self)


RunLike: TypeAlias = str | Path | Run | RunStatus
"""A run: its id or a prefix, a job id, `last`, its folder, a `Run`, or a `RunStatus`."""


def find_name(run: RunLike) -> str:
    """Return the name of a run on a command line; a path without a slash would be an id there."""
    if isinstance(run, str):
        return run
    return str(run.absolute() if isinstance(run, Path) else run.folder)


def _make_run(run: RunRef) -> Run:
    return Run(run.run_id, run.paths.folder, run.job_id)


def submit(
    job: JobLike,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
    local: bool = False,
) -> Run:
    """Submit a job spec exactly once; `local` runs it on this machine, without Slurm.

    Raises SpecError for mistakes in the spec, ClusterError if Slurm refuses, NoAnswer if it is not
    known whether the job was queued (call again: that first searches for the job).
    """
    return _make_run(submit_request(make_request(job, overrides, profile, templates), local=local))


def rehearse(  # noqa: PLR0913 - the options of the command
    job: JobLike,
    *,
    overrides: Sequence[str] = (),
    profile: str | Path | None = None,
    templates: Sequence[str | Path] = (),
    steps: int = 10,
    local: bool = False,
    timeout: float = 3600.0,
    tolerance: float = 1e-3,
    tell: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Preempt a short run of a job, and check that it resumes at the right step with equal losses.

    A checkpoint is saved every `steps` optimizer steps. `timeout` is in seconds, for the
    whole rehearsal; `tolerance` is the largest relative difference of losses; `tell` receives the
    progress, line by line. Raises SpecError for mistakes in the spec and for a job whose
    rehearsal would prove nothing, ClusterError if Slurm refuses.
    """
    request = make_request(job, overrides, profile, templates)
    return rehearse_request(
        request, steps=steps, local=local, timeout=timeout, tolerance=tolerance, tell=tell
    )


def status(run: RunLike | None = None) -> RunStatus:
    """Return the status of a run; by default, of the newest active or else the most recent run.

    Raises SpecError if the run is not found, ClusterError if its folder is not readable.
    """
    if run is not None:
        return track.status(find_name(run))
    active = listing.active_runs()
    return active[0] if active else track.status("last")


def why(run: RunLike = "last") -> Why:
    """Return why a run is waiting or has stopped, and what happens next. Raises as `status`."""
    return diagnose(find_name(run))


def list(  # noqa: A001 - the name of the command
    *, state: str = "", since: str = "", name: str = "", tag: str = ""
) -> tuple[RunStatus, ...]:
    """Return the status of all runs of this user: active runs first, then by age, the newest first.

    `state` is one or several states with commas, `since` an age (`2d`) or a time, `name` a pattern
    such as `gpt2*`, `tag` a word in `slurm.comment`. Raises SpecError for an invalid state or time.
    """
    return tuple(listing.list_runs(only=listing.parse_filter(state, since, name, tag)))


def logs(
    run: RunLike = "last",
    *,
    attempt: int | Literal["all"] | None = None,
    follow: bool = False,
    rank: int | None = None,
    node: str | None = None,
    grep: str | None = None,
) -> Iterator[str]:
    """Yield the output of a run in pieces: of its last attempt, of `attempt`, or of `all` attempts.

    With `follow` it continues after each requeue until the run has ended. With `rank`, `node` or
    `grep` (a regular expression), each piece is a line of that rank or node, or one that matches.
    Raises SpecError for an invalid pattern, ClusterError if no output is found, and at the end if
    no line shows that rank or node.
    """
    return log_reading.logs(
        find_name(run), attempt=attempt, follow=follow, rank=rank, node=node, grep=grep
    )


def log_lines(
    run: RunLike = "last",
    *,
    attempt: int | Literal["all"] | None = None,
    follow: bool = False,
    rank: int | None = None,
    node: str | None = None,
    grep: str | None = None,
) -> Iterator[LogLine]:
    """Yield the lines of a run's output, each with its rank and node: `logs --json`.

    Raises as `logs`.
    """
    selection = LogFilter(rank, node, grep)
    return log_reading.log_lines(find_name(run), selection, attempt=attempt, follow=follow)


def report(run: RunLike = "last", *, html: str | Path | None = None) -> RunReport:
    """Return how a run spent its time; `html` is a file for a page with its curves.

    Raises SpecError for a job array, whose tasks are runs; ClusterError if the page cannot be
    written.
    """
    result = run_report.report(find_name(run))
    if html is not None:
        run_report.write_page(Path(html), render_page(result))
    return result


def wait(run: RunLike = "last", timeout: float | None = None) -> RunStatus:
    """Wait until a run has ended for good, at most `timeout` seconds.

    Raises TimeoutError, and as `status`.
    """
    return track.wait(find_name(run), timeout)


def cancel(run: RunLike) -> RunStatus:
    """Cancel a run at once, without a checkpoint; it does not restart.

    Raises ClusterError if Slurm refuses.
    """
    return track.cancel(find_name(run))


def stop(run: RunLike) -> RunStatus:
    """Request that a run saves a checkpoint and exits; a pending run is removed from the queue.

    Raises ClusterError if the run folder is not writable.
    """
    return track.stop(find_name(run))


def resume(run: RunLike, *, overrides: Sequence[str] = ()) -> Run:
    """Resume a run that has stopped, in a new job; `overrides` change its spec from now on.

    Raises ClusterError while the run is active, if it has finished, and if Slurm refuses; SpecError
    for mistakes in the overrides; NoAnswer if it is not known whether the job was queued (call
    again).
    """
    return _make_run(resuming.resume(find_name(run), overrides))


def requeue(run: RunLike) -> RunStatus:
    """Request that a running run saves a checkpoint and restarts in the same job.

    Raises ClusterError for a run that has ended, or whose job may not be requeued.
    """
    return requeuing.requeue(find_name(run))


def checkpoints(run: RunLike = "last", *, verify: bool = False) -> tuple[SavedCheckpoint, ...]:
    """Return a run's checkpoints, the oldest first; `verify` reads all data. Raises as `status`."""
    return tuple(inventory.checkpoints(find_name(run), verify=verify))


def notify(
    test: JobLike | RunLike, *, overrides: Sequence[str] = (), profile: str | Path | None = None
) -> NotificationTest:
    """Send a test message to every target in `notify` of a job spec or a run.

    Raises SpecError without a target, ClusterError without bash.
    """
    job = find_name(test) if isinstance(test, (Run, RunStatus)) else test
    request = make_request(job, overrides, profile)
    return send_test(request.source, request)
