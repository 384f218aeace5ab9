"""The shape of what each command prints with `--json`; what is no dataclass of its own is written down here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import NotRequired, TypedDict

from clusterrun.attempts import Attempt
from clusterrun.diagnosis.answer import Why
from clusterrun.errors import Problem
from clusterrun.goodput import Story
from clusterrun.inventory import SavedCheckpoint
from clusterrun.origins import Origin
from clusterrun.outlook import Outlook
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.run_report import Hours
from clusterrun.site_checks.finding import Finding
from clusterrun.written import RunStatus


class Failure(TypedDict):
    """In place of an answer: what is wrong. The exit code is 2 for a mistake of yours, 1 where Slurm said no."""

    problems: list[Problem]
    """All mistakes that were found."""


class Valid(TypedDict):
    """What a valid spec asks for. A mistake gives a failure, with all mistakes."""

    name: str
    """What the run is called."""
    nodes: int
    """The most it takes, where it has a range."""
    least_nodes: int
    """The fewest."""
    processes: int | None
    """On all nodes together; null: as many as Slurm gives GPUs."""
    samples_a_step: int | None
    """Of one optimizer step, over all processes; null: only the script knows."""
    notes: list[str]
    """What the user did not write and should know."""


class Queued(TypedDict):
    """A run that was handed over."""

    run_id: str
    """What `status`, `logs` and the others take."""
    job_id: str
    """Slurm's, or of a local run the id of its process."""
    folder: str
    """Where all of the run lies."""


class DryRun(TypedDict):
    """With `--dry-run`: nothing was queued."""

    script: str
    """What would be handed over."""
    slurm: str
    """What Slurm said; empty where there is no Slurm."""


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


class Gone(TypedDict):
    """One thing that goes, or has gone."""

    run_id: str
    """Whose it is."""
    kind: Literal["run", "checkpoint", "rest"]
    """`rest`: what was begun to be removed, and not finished."""
    path: str
    """Where it lies."""
    state: str
    """The run's."""
    age: int
    """Seconds since it ended, or was saved."""
    bytes: int
    """What that frees."""
    removed: bool
    """Whether it is gone."""


class Cleaned(TypedDict):
    """What goes; nothing does with `--dry-run`."""

    removals: list[Gone]
    """What fits the conditions."""
    bytes: int
    """Of all of them together."""
    notes: list[str]
    """Why something else stays that may have been meant."""


class Sent(TypedDict):
    """What became of a test message."""

    missed: int
    """How many places were not reached."""
    words: list[str]
    """What happened, a line a place."""


class Begun(TypedDict):
    """A spec that was written."""

    file: str
    """Where it lies."""
    mistakes: list[Problem]
    """Of the old script."""
    notes: list[Problem]
    """What the new run does otherwise, or could not take over."""
    problems: list[Problem]
    """What has to be mended in the spec before it can be queued."""


class Needed(TypedDict):
    """What one strategy needs on each GPU, in bytes; null: not counted."""

    name: str
    """The strategy's."""
    accelerate: str
    """Its words in the spec's section `accelerate`."""
    weights: int
    """Parameters."""
    gradients: int
    """As wide as the strategy keeps them."""
    optimizer: int
    """AdamW's states, and the master weights."""
    states: int
    """The three together."""
    buffers: int | None
    """What collectives and casts take."""
    activations: int | None
    """Of one batch."""
    total: int
    """Of all that was counted."""
    on_cpu: int
    """What offloading keeps in the node's memory, for each GPU."""
    fits: Literal["yes", "tight", "perhaps", "no"] | None
    """`perhaps`: as far as it was counted; null: nobody said what a GPU holds."""


class Estimated(TypedDict):
    """All strategies side by side, in bytes of 1000^3 to a GB."""

    parameters: int
    """The model's."""
    gpus: int
    """In all."""
    precision: str
    """accelerate's mixed_precision."""
    gpu_memory: int | None
    """What each GPU holds."""
    gpu_hours: float | None
    """Up to the time limit."""
    strategy: str | None
    """The spec's own."""
    strategies: list[Needed]
    """The table, and the spec's own."""
    would_fit: str | None
    """The smallest change with which the run fits; null where none is needed or known."""


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
    "init": Answer((Begun,)),
    "validate": Answer((Valid,)),
    "estimate": Answer((Estimated,)),
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
    "clean": Answer((Cleaned,)),
    "notify": Answer((Sent,)),
}
