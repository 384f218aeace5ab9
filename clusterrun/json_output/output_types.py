"""The types of what each command prints with `--json`; those that are no dataclass are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from clusterrun.diagnosis.answer import Why
from clusterrun.errors import Problem
from clusterrun.planning.explanation import Origin
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.reporting.goodput import AttemptTimeline
from clusterrun.reporting.run_report import Hours
from clusterrun.results import Cleanup, DryRun, Estimate, NewSpec, ValidSpec
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import Outlook
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint
from clusterrun.site_checks.finding import Finding
from clusterrun.upkeep.notification import NotificationTest


class ErrorOutput(TypedDict):
    """In place of the output: what is wrong. Exit code 2: invalid input; 1: Slurm refused."""

    problems: list[Problem]
    """All mistakes that were found."""


class SubmittedRun(TypedDict):
    """A run that was submitted."""

    run_id: str
    """What the other commands take."""
    job_id: str
    """The id of the Slurm job, or of a local run's process."""
    folder: str
    """The run folder."""


class AttemptList(TypedDict):
    """What became of a run."""

    attempts: list[Attempt]
    """The oldest first."""


class ActiveRuns(TypedDict):
    """Of `status` without a RUN."""

    active_runs: NotRequired[list[RunStatus]]
    """All active runs; the other keys are of the newest, or of the last run if none is active."""


class ReportOutput(TypedDict):
    """A run in numbers; times are seconds, instants seconds since the epoch."""

    status: RunStatus
    """Its status."""
    ettr: float | None
    """The productive share of the whole; null: it cannot be known."""
    time_split: dict[str, float]
    """The parts of the time; `wall`: their sum; `allocated`: `wall` without `waiting`."""
    node_hours: Hours
    """Of whole nodes."""
    gpu_hours: Hours | None
    """Null for a run without GPUs."""
    samples_per_second: float | None
    """Samples a second while it trained: the median."""
    attempts: list[Attempt]
    """The oldest first."""
    timeline: list[AttemptTimeline]
    """Each attempt in time."""


class DoctorOutput(TypedDict):
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
    line_number: int
    """Its number in the log of its attempt."""
    rank: int | None
    """The rank that wrote it, if the line shows it."""
    node: str
    """The node that wrote it; empty if the line does not show it."""
    text: str
    """The line without the prefix of its rank."""


@dataclass(frozen=True)
class OutputForm:
    """What one command prints."""

    kinds: tuple[Any, ...]
    """Its dataclass or TypedDict; several: one object with the keys of all of them."""
    shape: Literal["object", "list", "lines"] = "object"
    """A list of such objects; or one a line, as they come."""
    instead: Any = None
    """What it prints if an option changes its output."""


OUTPUTS = {
    "doctor": OutputForm((DoctorOutput,)),
    "init": OutputForm((NewSpec,)),
    "validate": OutputForm((ValidSpec,)),
    "estimate": OutputForm((Estimate,)),
    "render": OutputForm((Origin,), "list"),
    "submit": OutputForm((SubmittedRun,), instead=DryRun),
    "rehearse": OutputForm((Rehearsal,)),
    "status": OutputForm((RunStatus, Outlook, AttemptList, ActiveRuns)),
    "why": OutputForm((Why,)),
    "list": OutputForm((RunStatus,), "list"),
    "logs": OutputForm((LoggedLine,), "lines"),
    "report": OutputForm((ReportOutput,)),
    "wait": OutputForm((RunStatus,)),
    "cancel": OutputForm((RunStatus,)),
    "stop": OutputForm((RunStatus,)),
    "resume": OutputForm((SubmittedRun,)),
    "requeue": OutputForm((RunStatus,)),
    "checkpoints": OutputForm((SavedCheckpoint,), "list"),
    "clean": OutputForm((Cleanup,)),
    "notify": OutputForm((NotificationTest,)),
}
