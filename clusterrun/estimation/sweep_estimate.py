"""The estimate for a sweep: its member that needs the most memory, and the hours of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from clusterrun.estimation.answers import EstimateRequest, PlannedRun, make_estimate
from clusterrun.estimation.comparison import Comparison
from clusterrun.results import Estimate, SweepMember


@dataclass(frozen=True)
class SweepEstimate:
    """The estimate for the most expensive member of a sweep."""

    comparison: Comparison
    """The estimate for that member."""
    member: SweepMember
    """The member; the first one, if several need the same."""
    count: int
    """The number of members."""
    gpu_hours: float | None
    """The GPU hours of all members up to their time limit; None without a limit."""

    def values(self) -> Estimate:
        """Return the estimate as the values of `--json`, in bytes."""
        own = self.comparison.values()
        return replace(own, member=self.member, sweep_gpu_hours=self.gpu_hours)

    def words(self) -> list[str]:
        """Return the lines below the table about the sweep."""
        values = " ".join(f"{path}={value}" for path, value in self.member.values.items())
        lines = [f"member: {self.member.number} of {self.count} members needs the most: {values}"]
        if self.gpu_hours is not None:
            lines.append(f"sweep: at most {self.gpu_hours:g} GPU hours for all members")
        return lines


def estimate_sweep(
    request: EstimateRequest, members: Sequence[tuple[SweepMember, PlannedRun]]
) -> SweepEstimate:
    """Estimate the members of a sweep. Raises SpecError if the model of one is not known."""
    known: dict[str, Comparison] = {}
    estimated = []
    for member, planned in members:
        key = repr(planned.loaded.spec.args)
        if key not in known:
            known[key] = make_estimate(request, planned)
        estimated.append((member, known[key]))
    member, dearest = max(estimated, key=lambda pair: _cost(pair[1]))
    hours = [comparison.run.gpu_hours for _, comparison in estimated]
    total = None if None in hours else sum(one or 0.0 for one in hours)
    return SweepEstimate(dearest, member, len(estimated), total)


def _cost(comparison: Comparison) -> tuple[float, float]:
    """Return the memory per GPU with the spec's own strategy, and the GPU hours."""
    own = next((one for one in comparison.rows if one.strategy == comparison.own), None)
    needs = own or comparison.rows[0]
    return float(needs.total), comparison.run.gpu_hours or 0.0
