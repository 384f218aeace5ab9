"""The result of a rehearsal: the outcome, its reasons, the steps, and the durations of phases."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from clusterrun.rehearsal.comparison import LossComparison, WeightComparison

SURVIVED, NOT_SURVIVED, OUT_OF_TIME = "survived", "did not survive", "out of time"


@dataclass(frozen=True)
class Phase:
    """The duration of a phase, from the times in the records."""

    name: str
    """The name of the phase."""
    seconds: float | None
    """Its duration in seconds; None if it was not observed."""
    note: str = ""
    """A remark about the phase."""


@dataclass(frozen=True)
class Rehearsal:
    """The outcome and the facts that led to it. Steps are optimizer steps; None if unknown."""

    name: str
    """The name of the job."""
    outcome: str = OUT_OF_TIME
    """`survived`, `did not survive` or `out of time`."""
    reasons: list[str] = field(default_factory=list)
    """Why the run did not survive."""
    notes: list[str] = field(default_factory=list)
    """Further remarks."""
    interruption: str = ""
    """How the run was interrupted."""
    run_id: str = ""
    """The run that was stopped."""
    folder: str = ""
    """The folder of that run."""
    reference_run_id: str = ""
    """The uninterrupted run; empty without one."""
    reference_folder: str = ""
    """The folder of the reference."""
    stopped_at_step: int | None = None
    """The step at which the run stopped."""
    saved_step: int | None = None
    """The step of the newest checkpoint at that time."""
    resumed_from_step: int | None = None
    """The step of the checkpoint from which it resumed."""
    first_step_after: int | None = None
    """The first step after the resume."""
    nodes: list[str] = field(default_factory=list)
    """The nodes of each attempt, then those of the reference, if any."""
    losses: LossComparison | None = None
    """The losses, compared with the reference."""
    weights: WeightComparison | None = None
    """The weights, compared with the reference."""
    phases: list[Phase] = field(default_factory=list)
    """The duration of each phase."""

    @property
    def survived(self) -> bool:
        """Whether it resumed at the right step, and nothing that could be compared differs."""
        return self.outcome == SURVIVED

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)
