"""A run as an object, and the commands that are about runs. The other commands: `api_specs`."""

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
    """A run of this user. Each method queries anew, and raises as the function of the same name."""

    run_id: str
    """What the commands take."""
    folder: Path
    """The run folder."""
    job_id: str = ""
    """The job that it was submitted as; `status().job_id` is its current one."""

    @classmethod
    def find(cls, name: str | Path) -> Run:
        """Find a run by its id, a prefix, a job id, `last`, or its folder. Raises SpecError."""
        return _make_run(find_run(_find_name(name)))

    def status(self) -> RunStatus:
        """Return what it does now."""
        return status(self)

    def attempts(self) -> tuple[Attempt, ...]:
        """Return its attempts, the oldest first."""
        return tuple(list_attempts(RunPaths(self.folder)))

    def outlook(self) -> Outlook:
        """Return its speed, the time left, and its next and last checkpoint."""
        return look_ahead(self.status())

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait, at most `timeout` seconds, until it has ended for good. Raises TimeoutError."""
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
        """Yield its output in pieces; the options are those of `clusterrun.logs`."""
        return logs(self, attempt=attempt, follow=follow, rank=rank, node=node, grep=grep)

    def why(self) -> Why:
        """Return why it waits, or stopped, and what comes next."""
        return why(self)

    def report(self, *, html: str | Path | None = None) -> RunReport:
        """Return where its time went; `html` is a file for its curves."""
        return report(self, html=html)

    def checkpoints(self, *, verify: bool = False) -> tuple[SavedCheckpoint, ...]:
        """List its checkpoints; `verify` reads every byte."""
        return checkpoints(self, verify=verify)

    def stop(self) -> RunStatus:
        """Request that it saves a checkpoint and exits; it does not restart by itself."""
        return stop(self)

    def requeue(self) -> RunStatus:
        """Request that it saves a checkpoint and restarts."""
        return requeue(self)

    def resume(self, overrides: Sequence[str] = ()) -> Run:
        """Restart it after it has stopped, with other values, such as `slurm.time=1-0`."""
        return resume(self, overrides=overrides)

    def cancel(self) -> RunStatus:
        """End it at once, without a checkpoint."""
        return cancel(self)


RunLike: TypeAlias = str | Path | Run | RunStatus
"""A run: its id, the beginning of one, a job id, `last`, its folder, a `Run`, or a `RunStatus`."""


def _find_name(run: RunLike) -> str:
    if isinstance(run, str):
        return run
    # a path without a slash would be read as an id
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
    """Queue a run of a job spec, exactly once; `local` starts it on this machine, without Slurm.

    Raises SpecError for mistakes in the spec, ClusterError if Slurm refuses, NoAnswer if it is not
    known whether the job was queued (call again: it is looked for before anything is queued).
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
    """Preempt a short run of a job; check that it resumes at the right step with the same losses.

    A checkpoint is saved every `steps` optimizer steps. `timeout` is in seconds, for all of it;
    `tolerance` is how far losses may differ, relative to the reference's; `tell` receives the
    progress, a line at a time. Raises SpecError for mistakes in the spec and for a job whose
    rehearsal would prove nothing, ClusterError if Slurm refuses.
    """
    request = make_request(job, overrides, profile, templates)
    return rehearse_request(
        request, steps=steps, local=local, timeout=timeout, tolerance=tolerance, tell=tell
    )


def status(run: RunLike | None = None) -> RunStatus:
    """Return what a run does now; without `run`, the newest active one, or else the last one.

    Raises SpecError if no run has this name, ClusterError if its folder is closed to this user.
    """
    if run is not None:
        return track.status(_find_name(run))
    active = listing.active_runs()
    return active[0] if active else track.status("last")


def why(run: RunLike = "last") -> Why:
    """Return why a run does not start, or stopped, and what comes next. Raises as `status`."""
    return diagnose(_find_name(run))


def list(  # noqa: A001 - the name of the command
    *, state: str = "", since: str = "", name: str = "", tag: str = ""
) -> tuple[RunStatus, ...]:
    """Return what all runs of this user do now, the active ones first, the newest first.

    `state` is one or several with commas, `since` an age (`2d`) or a time, `name` a pattern such as
    `gpt2*`, `tag` a word of `slurm.comment`. Raises SpecError for an invalid state or time.
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
    """Yield the output of a run in pieces: of its last attempt, or that of `attempt`, or of `all`.

    With `follow` it continues, over requeues, until the run has ended. With `rank`, `node` or
    `grep` (a regular expression) the pieces are the lines that are that rank's or node's, or match.
    Raises SpecError for a pattern that is not valid, ClusterError if there is no output, and at its
    end if no line names that rank or node.
    """
    return log_reading.logs(
        _find_name(run), attempt=attempt, follow=follow, rank=rank, node=node, grep=grep
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
    wanted = LogFilter(rank, node, grep)
    return log_reading.log_lines(_find_name(run), wanted, attempt=attempt, follow=follow)


def report(run: RunLike = "last", *, html: str | Path | None = None) -> RunReport:
    """Return where a run's time went; `html` is a file for one page with its curves.

    Raises SpecError for a job array, whose tasks are runs; ClusterError if the page cannot be
    written.
    """
    found = run_report.report(_find_name(run))
    if html is not None:
        run_report.write_page(Path(html), render_page(found))
    return found


def wait(run: RunLike = "last", timeout: float | None = None) -> RunStatus:
    """Wait until a run has ended for good, at most `timeout` seconds.

    Raises TimeoutError, and as `status`.
    """
    return track.wait(_find_name(run), timeout)


def cancel(run: RunLike) -> RunStatus:
    """End a run at once, without a checkpoint; it never restarts.

    Raises ClusterError if Slurm refuses.
    """
    return track.cancel(_find_name(run))


def stop(run: RunLike) -> RunStatus:
    """Request that a run saves a checkpoint and exits; a run that waits is taken out of the queue.

    Raises ClusterError if the run folder is closed to this user.
    """
    return track.stop(_find_name(run))


def resume(run: RunLike, *, overrides: Sequence[str] = ()) -> Run:
    """Restart a run that has stopped, in a new job; `overrides` change its spec from now on.

    Raises ClusterError while the run is active, if it has finished, and if Slurm refuses; SpecError
    for mistakes in the overrides; NoAnswer if it is not known whether the job was queued (call
    again).
    """
    return _make_run(resuming.resume(_find_name(run), overrides))


def requeue(run: RunLike) -> RunStatus:
    """Request that a running run saves a checkpoint and restarts, in the same job.

    Raises ClusterError for a run that has ended, or whose job may not be requeued.
    """
    return requeuing.requeue(_find_name(run))


def checkpoints(run: RunLike = "last", *, verify: bool = False) -> tuple[SavedCheckpoint, ...]:
    """List a run's checkpoints, the oldest first; `verify` reads every byte. Raises as `status`."""
    return tuple(inventory.checkpoints(_find_name(run), verify=verify))


def notify(
    test: JobLike | RunLike, *, overrides: Sequence[str] = (), profile: str | Path | None = None
) -> NotificationTest:
    """Send a test message to every place that a job spec, or a run, names in `notify`.

    Raises SpecError if it names no place, ClusterError if there is no bash.
    """
    job = _find_name(test) if isinstance(test, (Run, RunStatus)) else test
    request = make_request(job, overrides, profile)
    return send_test(request.source, request)
