"""The answer of `clusterrun why`: what it is made of, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from clusterrun.diagnosis.stacks import Place


@dataclass(frozen=True)
class Waiting:
    """Why a run does not start."""

    reason: str
    """Slurm's own text; empty where the run is not in Slurm's queue."""
    means: str
    """The same in a sentence."""
    do: str
    """What the user can do; empty: wait."""
    passes: bool
    """Whether it can pass without anybody doing something."""
    start: str
    """When Slurm expects it to start, as Slurm writes times; empty where Slurm says nothing."""
    ahead: int | None
    """How many pending jobs of the partition that the user may see have a higher priority; None: not asked."""
    facts: tuple[str, ...] = ()
    """What stands behind it on this cluster: limits, reservations, what it waits for."""


@dataclass(frozen=True)
class FirstFailure:
    """The failure that came first in the log of an attempt."""

    kind: str
    """Its class, such as cuda-out-of-memory."""
    means: str
    """The class in a sentence."""
    do: str
    """What helps."""
    line: str
    """The line of the log that tells it."""
    rank: int | None
    """Who failed first, where the log says so."""
    node: str
    """Where; empty where the log does not say so."""
    exit_code: int | None
    """Of that process."""
    log: str
    """The log that was read."""
    line_number: int | None
    """None where the log is too long to count its lines."""
    unread: int
    """Bytes at the begin of the log that were not looked at."""


@dataclass(frozen=True)
class Stopped:
    """Why the last attempt that has ended did."""

    attempt: int
    """Which one; 0: none began."""
    cause: str
    """The protocol's word for it, as of an attempt."""
    words: str
    """The same for people."""
    means: str
    """What that is, in a sentence."""
    do: str
    """What helps; empty where nothing is to be done."""
    failure: FirstFailure | None = None
    """What the log tells of it."""
    places: tuple[Place, ...] = ()
    """Of a hang, where the ranks stood."""


@dataclass(frozen=True)
class Alive:
    """Whether an attempt that runs looks alive. Times are seconds; None: not known."""

    looks: bool | None
    """Whether it does."""
    words: str
    """The same for people."""
    silent: int | None
    """Since the trainer's last word."""
    doing: str
    """What it did then: start, step, evaluation, save, ..."""
    patience: int | None
    """After how long a silence it is taken for hung."""


@dataclass(frozen=True)
class Next:
    """What clusterrun does next."""

    words: str
    """In a sentence."""
    command: str
    """What the user types to let it go on; empty where it goes on by itself, or has finished."""
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
    alive: Alive | None
    """Of one that does."""
    stopped: Stopped | None
    """Of one with an attempt that has ended."""
    next: Next
    """What happens without anybody doing something."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)
