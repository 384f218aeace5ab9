"""The values that `clusterrun why` returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from clusterrun.diagnosis.stacks import HangLocation


@dataclass(frozen=True)
class Waiting:
    """Why a run is pending."""

    reason: str
    """Slurm's reason; empty if Slurm gives none, or the run is not queued."""
    meaning: str
    """The meaning of the reason."""
    fix: str
    """What the user can do; empty: wait."""
    temporary: bool
    """Whether the run can start without any action."""
    expected_start: str
    """When Slurm expects it to start, in Slurm's format; empty without an estimate."""
    jobs_ahead: int | None
    """Number of visible pending jobs with a higher priority in the partition; None: unknown."""
    details: tuple[str, ...] = ()
    """Details about this cluster: limits, reservations, dependencies."""


@dataclass(frozen=True)
class FirstFailure:
    """The first failure in the log of an attempt."""

    kind: str
    """Its class, such as cuda-out-of-memory."""
    meaning: str
    """What the class means."""
    fix: str
    """What to do."""
    line: str
    """The log line that shows it."""
    rank: int | None
    """The rank that failed first, if the log shows it."""
    node: str
    """Its node; empty if the log does not show it."""
    exit_code: int | None
    """The exit code of that process."""
    log: str
    """The path of the log."""
    line_number: int | None
    """The number of the line in the log; None if the log is too long to count lines."""
    unread_bytes: int
    """Number of bytes at the start of the log that were not read."""


@dataclass(frozen=True)
class Stopped:
    """Why the most recent ended attempt stopped."""

    attempt: int
    """The number of the attempt; 0: none has started."""
    cause: str
    """The recorded cause, as in `status --json`."""
    summary: str
    """The same in words."""
    meaning: str
    """What the cause means."""
    fix: str
    """What to do; empty if no action is needed."""
    failure: FirstFailure | None = None
    """The failure that the log shows."""
    hang_locations: tuple[HangLocation, ...] = ()
    """After a hang, where each rank was."""


@dataclass(frozen=True)
class Liveness:
    """Whether a running attempt makes progress. Times are seconds; None: unknown."""

    looks_alive: bool | None
    """Whether it reported progress within the hang timeout."""
    summary: str
    """The same in words."""
    seconds_since_progress: int | None
    """Seconds since the last progress record."""
    activity: str
    """The activity in that record: start, step, evaluation, save, ..."""
    hang_timeout: int | None
    """Seconds without progress after which the attempt counts as hung."""


@dataclass(frozen=True)
class Next:
    """What clusterrun does next."""

    summary: str
    """What happens next."""
    command: str
    """The command that resumes the run, or ends one whose script may not handle the request; empty
    if it continues by itself or has finished."""
    crashes: int | None
    """Crashes and hangs since the last new checkpoint."""
    crashes_left: int | None
    """How many more are within the crash budget."""


@dataclass(frozen=True)
class Why:
    """Why a run is in its state, and what comes next."""

    run_id: str
    """The id that commands take."""
    state: str
    """The same as in `status`."""
    reason: str
    """The same as in `status`."""
    job_id: str
    """The id of its most recent job."""
    folder: str
    """The run folder."""
    waiting: Waiting | None
    """Set for a pending run."""
    liveness: Liveness | None
    """Set for a running attempt."""
    stopped: Stopped | None
    """Set if an attempt has ended."""
    next: Next
    """What happens next without any action."""
    warning: str = ""
    """What is wrong with the training itself, such as a loss that is not finite."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)
