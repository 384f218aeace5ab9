"""The answer of `clusterrun why`: what it is made of, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from clusterrun.why.stacks import Place


@dataclass(frozen=True)
class Waiting:
    """Why a run does not start."""

    reason: str
    """Slurm's own text; empty where the run is not in Slurm's queue."""
    means: str
    do: str
    passes: bool
    """Whether it can pass without anybody doing something."""
    start: str
    """When Slurm expects it to start, as Slurm writes times; empty where Slurm says nothing."""
    ahead: int | None
    """How many pending jobs of the partition that the user may see have a higher priority; None: not asked."""
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirstFailure:
    """The failure that came first in the log of an attempt."""

    kind: str
    means: str
    do: str
    line: str
    """The line of the log that tells it."""
    rank: int | None
    node: str
    exit_code: int | None
    log: str
    line_number: int | None
    """None where the log is too long to count its lines."""
    unread: int
    """Bytes at the begin of the log that were not looked at."""


@dataclass(frozen=True)
class Stopped:
    """Why the last attempt that has ended did."""

    attempt: int
    cause: str
    words: str
    means: str
    do: str
    failure: FirstFailure | None = None
    places: tuple[Place, ...] = ()
    """Of a hang, where the ranks stood."""


@dataclass(frozen=True)
class Alive:
    """Whether an attempt that runs looks alive. Times are seconds; None: not known."""

    looks: bool | None
    words: str
    silent: int | None
    """Since the trainer's last word."""
    doing: str
    patience: int | None


@dataclass(frozen=True)
class Next:
    """What clusterrun does next."""

    words: str
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
    state: str
    reason: str
    job_id: str
    folder: str
    waiting: Waiting | None
    alive: Alive | None
    stopped: Stopped | None
    next: Next

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)
