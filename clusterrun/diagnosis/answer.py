"""The values that `clusterrun why` returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from clusterrun.diagnosis.stacks import HangLocation


@dataclass(frozen=True)
class Waiting:
    """Why a run does not start."""

    reason: str
    """Slurm's reason; empty if the run is not in Slurm's queue."""
    meaning: str
    """The meaning of the reason, in a sentence."""
    fix: str
    """What the user can do; empty: wait."""
    temporary: bool
    """Whether it can pass without any action."""
    expected_start: str
    """When Slurm expects it to start, as Slurm writes times; empty if Slurm gives no estimate."""
    jobs_ahead: int | None
    """How many visible pending jobs of the partition have a higher priority; None: not queried."""
    details: tuple[str, ...] = ()
    """Details on this cluster: limits, reservations, dependencies."""


@dataclass(frozen=True)
class FirstFailure:
    """The failure that came first in the log of an attempt."""

    kind: str
    """Its class, such as cuda-out-of-memory."""
    meaning: str
    """The class in a sentence."""
    fix: str
    """What helps."""
    line: str
    """The line of the log that shows it."""
    rank: int | None
    """The rank that failed first, if the log shows it."""
    node: str
    """Its node; empty if the log does not show it."""
    exit_code: int | None
    """The exit code of that process."""
    log: str
    """The log that was read."""
    line_number: int | None
    """None if the log is too long to count its lines."""
    unread_bytes: int
    """Bytes at the start of the log that were not read."""


@dataclass(frozen=True)
class Stopped:
    """Why the last attempt that has ended did so."""

    attempt: int
    """Which one; 0: none began."""
    cause: str
    """The recorded cause, as in `status --json`."""
    summary: str
    """The same for people."""
    meaning: str
    """The meaning of the cause, in a sentence."""
    fix: str
    """What helps; empty if nothing has to be done."""
    failure: FirstFailure | None = None
    """The failure that the log shows."""
    hang_locations: tuple[HangLocation, ...] = ()
    """Of a hang, where each rank was."""


@dataclass(frozen=True)
class Liveness:
    """Whether an attempt that runs looks alive. Times are seconds; None: not known."""

    looks_alive: bool | None
    """Whether it does."""
    summary: str
    """The same for people."""
    seconds_since_progress: int | None
    """Seconds since the last progress record."""
    activity: str
    """What it did then: start, step, evaluation, save, ..."""
    hang_timeout: int | None
    """The silence after which it counts as hung."""


@dataclass(frozen=True)
class Next:
    """What clusterrun does next."""

    summary: str
    """In a sentence."""
    command: str
    """The command that resumes the run; empty if it continues by itself, or has finished."""
    crashes: int | None
    """Crashes and hangs since the last new checkpoint."""
    crashes_left: int | None
    """How many more of them the run survives."""


@dataclass(frozen=True)
class Why:
    """Why a run is in its state, and what comes next."""

    run_id: str
    """What commands take."""
    state: str
    """As `status` has it."""
    reason: str
    """As `status` has it."""
    job_id: str
    """Its last job."""
    folder: str
    """The run folder."""
    waiting: Waiting | None
    """Of a run that does not run."""
    liveness: Liveness | None
    """Of one that does."""
    stopped: Stopped | None
    """Of one with an attempt that has ended."""
    next: Next
    """What happens without any action."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)
