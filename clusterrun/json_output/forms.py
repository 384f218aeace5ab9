"""The shape of what each command prints with `--json`; what is no dataclass of its own is written down here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from clusterrun.diagnosis.answer import Why
from clusterrun.errors import Problem
from clusterrun.planning.explanation import Origin
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.reporting.goodput import Story
from clusterrun.reporting.run_report import Hours
from clusterrun.results import Cleanup, DryRun, Estimate, NewSpec, ValidSpec
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_status.forecast import Outlook
from clusterrun.run_status.from_files import RunStatus
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint
from clusterrun.site_checks.finding import Finding
from clusterrun.upkeep.notification import NotificationTest


class Failure(TypedDict):
    """In place of an answer: what is wrong. The exit code is 2 for a mistake of yours, 1 where Slurm said no."""

    problems: list[Problem]
    """All mistakes that were found."""


class Queued(TypedDict):
    """A run that was handed over."""

    run_id: str
    """What `status`, `logs` and the others take."""
    job_id: str
    """Slurm's, or of a local run the id of its process."""
    folder: str
    """Where all of the run lies."""


class Attempts(TypedDict):
    """What became of a run."""

    attempts: list[Attempt]
    """The oldest first."""


class Others(TypedDict):
    """Of `status` without a RUN."""

    living: NotRequired[list[RunStatus]]
    """All runs that live; the rest tells of the newest, or of the last run, where none does."""


class Spent(TypedDict):
    """A run in numbers; times are seconds, instants seconds since the epoch."""

    run: RunStatus
    """Its status."""
    ettr: float | None
    """The productive share of the whole; null: it cannot be known."""
    seconds: dict[str, float]
    """The parts of the time by name, as in `split` of an attempt; `wall` is their sum, `held` all but the queue."""
    node_hours: Hours
    """Of whole nodes."""
    gpu_hours: Hours | None
    """Null for a run that asked for no GPUs."""
    rate: float | None
    """Samples a second while it trained: the median."""
    attempts: list[Attempt]
    """The oldest first."""
    stories: list[Story]
    """Each attempt in time."""


class Examined(TypedDict):
    """What the doctor found."""

    findings: list[Finding]
    """All that was looked at."""
    problems: int
    """How many keep runs from working."""
    warnings: int
    """How many cost a run something."""


class LoggedLine(TypedDict):
    """A line of a log."""

    attempt: int
    """Whose log it is."""
    number: int
    """Its number in the log of its attempt."""
    rank: int | None
    """Who wrote it, where the line says so."""
    node: str
    """Likewise; empty where it does not."""
    text: str
    """Without what says who wrote it."""


@dataclass(frozen=True)
class Answer:
    """What one command prints."""

    kinds: tuple[Any, ...]
    """Its dataclass or TypedDict; several: one object with the keys of all of them."""
    shape: Literal["object", "list", "lines"] = "object"
    """A list of such objects; or one a line, as they come."""
    instead: Any = None
    """What it prints where an option makes it another answer."""


ANSWERS = {
    "doctor": Answer((Examined,)),
    "init": Answer((NewSpec,)),
    "validate": Answer((ValidSpec,)),
    "estimate": Answer((Estimate,)),
    "render": Answer((Origin,), "list"),
    "submit": Answer((Queued,), instead=DryRun),
    "rehearse": Answer((Rehearsal,)),
    "status": Answer((RunStatus, Outlook, Attempts, Others)),
    "why": Answer((Why,)),
    "list": Answer((RunStatus,), "list"),
    "logs": Answer((LoggedLine,), "lines"),
    "report": Answer((Spent,)),
    "wait": Answer((RunStatus,)),
    "cancel": Answer((RunStatus,)),
    "stop": Answer((RunStatus,)),
    "resume": Answer((Queued,)),
    "requeue": Answer((RunStatus,)),
    "checkpoints": Answer((SavedCheckpoint,), "list"),
    "clean": Answer((Cleanup,)),
    "notify": Answer((NotificationTest,)),
}
