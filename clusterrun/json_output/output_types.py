"""The types of what each command prints with `--json`; those that are not dataclasses are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from clusterrun.diagnosis.answer import Why
from clusterrun.errors import Problem
from clusterrun.planning.explanation import Origin
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.reporting.comparison import ComparedRun
from clusterrun.reporting.difference import RunDifference
from clusterrun.reporting.goodput import AttemptTimeline
from clusterrun.reporting.run_report import Hours
from clusterrun.results import Cleanup, DryRun, Estimate, NewSpec, ValidSpec
from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_status.best_member import BestMember
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.forecast import Outlook
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint
from clusterrun.site_checks.finding import Finding
from clusterrun.slurm.states import State
from clusterrun.upkeep.notification import NotificationTest


class ErrorOutput(TypedDict):
    """The output of a command that fails. Exit code 2: invalid input; 1: refused or failed."""

    problems: list[Problem]
    """All mistakes."""


class SubmittedRun(TypedDict):
    """A run that was submitted."""

    run_id: str
    """The run id, which other commands accept."""
    job_id: str
    """The id of the Slurm job, or of a local run's process."""
    folder: str
    """The run folder."""


class AttemptList(TypedDict):
    """The attempts of a run."""

    attempts: list[Attempt]
    """The attempts, the oldest first."""


class ActiveRuns(TypedDict):
    """Added by `status` without a RUN."""

    active_runs: NotRequired[list[RunStatus]]
    """All active runs; the other keys are of the newest, or of the most recent run if none is
    active."""


class MemberStatus(TypedDict):
    """One member of a sweep."""

    number: int
    """Its number, from 0."""
    name: str
    """Its name."""
    values: dict[str, str]
    """Its values as the spec has them, by path."""
    run_id: str
    """Its run id."""
    state: State
    """What it is doing, or how it ended."""
    reason: str
    """Why it is in this state."""
    step: int | None
    """The number of optimizer steps done."""
    total_steps: int | None
    """The total number of optimizer steps."""
    loss: float | None
    """The last logged loss."""
    metric: str
    """The metric that the members are compared by."""
    last: float | None
    """Its last value."""
    best: float | None
    """Its best value."""
    best_step: int | None
    """The optimizer step of the best value."""
    folder: str
    """Its run folder."""


class SweepTable(TypedDict):
    """Added by `status` for a sweep."""

    members: NotRequired[list[MemberStatus]]
    """The members, in the order of `--sort`."""


class ReportOutput(TypedDict):
    """A run in numbers; durations are in seconds, times in seconds since the epoch."""

    status: RunStatus
    """Its status."""
    ettr: float | None
    """The productive fraction of the total time; null: not known."""
    time_split: dict[str, float]
    """The parts of the time as in a story's `split`; `wall`: the sum; `held`: without waiting."""
    node_hours: Hours
    """Node hours, of whole nodes."""
    gpu_hours: Hours | None
    """GPU hours; null for a run without GPUs."""
    samples_per_second: float | None
    """Median samples per second while training."""
    attempts: list[Attempt]
    """The attempts, the oldest first."""
    timeline: list[AttemptTimeline]
    """The time of each attempt."""


class DoctorOutput(TypedDict):
    """The findings of doctor."""

    findings: list[Finding]
    """All checks."""
    problems: int
    """The number of findings that keep runs from working."""
    warnings: int
    """The number of findings that cost a run time or checkpoints."""


class LoggedLine(TypedDict):
    """A line of a log."""

    attempt: int
    """The number of the attempt."""
    line_number: int
    """The line number in the log of the attempt."""
    rank: int | None
    """The rank that wrote it, if the line shows it."""
    node: str
    """The node that wrote it; empty if the line does not show it."""
    text: str
    """The line without the prefix of its rank."""


@dataclass(frozen=True)
class OutputForm:
    """The output of one command."""

    kinds: tuple[Any, ...]
    """The dataclass or TypedDict; several: one object with the keys of all of them."""
    shape: Literal["object", "list", "lines"] = "object"
    """`list`: a list of such objects; `lines`: one object per line, as they arrive."""
    instead: Any = None
    """The other output, if an option changes it."""


OUTPUTS = {
    "doctor": OutputForm((DoctorOutput,)),
    "init": OutputForm((NewSpec,)),
    "validate": OutputForm((ValidSpec,)),
    "estimate": OutputForm((Estimate,)),
    "render": OutputForm((Origin,), "list"),
    "submit": OutputForm((SubmittedRun,), instead=DryRun),
    "rehearse": OutputForm((Rehearsal,)),
    "status": OutputForm((RunStatus, Outlook, AttemptList, ActiveRuns, SweepTable)),
    "best": OutputForm((BestMember,)),
    "compare": OutputForm((ComparedRun,), "list"),
    "why": OutputForm((Why,)),
    "list": OutputForm((RunStatus,), "list"),
    "logs": OutputForm((LoggedLine,), "lines"),
    "report": OutputForm((ReportOutput,)),
    "diff": OutputForm((RunDifference,)),
    "wait": OutputForm((RunStatus,)),
    "cancel": OutputForm((RunStatus,)),
    "stop": OutputForm((RunStatus,)),
    "resume": OutputForm((SubmittedRun,)),
    "requeue": OutputForm((RunStatus,)),
    "checkpoints": OutputForm((SavedCheckpoint,), "list"),
    "clean": OutputForm((Cleanup,)),
    "notify": OutputForm((NotificationTest,)),
}
