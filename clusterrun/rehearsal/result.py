"""The result of a rehearsal: the outcome, its reasons, the steps, and how long each phase took."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from clusterrun.rehearsal.comparison import LossComparison, WeightComparison

SURVIVED, NOT_SURVIVED, OUT_OF_TIME = "survived", "did not survive", "out of time"


@dataclass(frozen=True)
class Phase:
    """How long something took, in seconds, as the records' times say; None: it was not seen."""

    name: str
    """Which."""
    seconds: float | None
    """How long."""
    note: str = ""
    """What was special about it."""


@dataclass(frozen=True)
class Rehearsal:
    """The outcome, and all that led to it. Steps are optimizer steps; None: not known."""

    name: str
    """The run's."""
    outcome: str = OUT_OF_TIME
    """`survived`, `did not survive` or `out of time`."""
    reasons: list[str] = field(default_factory=list)
    """Why it did not survive."""
    notes: list[str] = field(default_factory=list)
    """What should be known beside it."""
    interruption: str = ""
    """What was done to it."""
    run_id: str = ""
    """The run that was stopped."""
    folder: str = ""
    """Where it lies."""
    reference_run_id: str = ""
    """The run that nobody stopped; empty where there was none."""
    reference_folder: str = ""
    """Where that lies."""
    stopped_at_step: int | None = None
    """The step at which it left."""
    saved_step: int | None = None
    """The step of the newest checkpoint then."""
    resumed_from_step: int | None = None
    """The step of the checkpoint that it came back with."""
    first_step_after: int | None = None
    """The first step that it did after that."""
    nodes: list[str] = field(default_factory=list)
    """Where its attempts ran, and last where the reference did, if there was one."""
    losses: LossComparison | None = None
    """Compared with the reference's."""
    weights: WeightComparison | None = None
    """Likewise."""
    phases: list[Phase] = field(default_factory=list)
    """What took how long."""

    @property
    def survived(self) -> bool:
        """Whether it came back at the right step, and nothing that could be compared differs."""
        return self.outcome == SURVIVED

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)
