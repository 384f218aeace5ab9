"""Compare two trainings: the interrupted one and the uninterrupted reference.

What both did before the stop is the control. Where they differ there already, the training itself
cannot be repeated, and a difference after the return says nothing of the return.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.rehearsal.observation import SeenCheckpoint, SeenStep

# Files that hold weights, as accelerate, transformers, DeepSpeed, FSDP and PEFT name them.
_WEIGHTS = re.compile(
    r"(^|/)((pytorch_)?model(_\d+)?(-\d+-of-\d+)?\.(safetensors|bin)|adapter_model\.(safetensors|bin)"
    r"|(zero_pp_rank_\d+_)?mp_rank_\d+_model_states\.pt|pytorch_model_fsdp(_\d+)?(\.bin|/.*\.distcp))$"
)


@dataclass(frozen=True)
class LossComparison:
    """The losses of steps that both runs have. Differences are relative to the reference's loss."""

    compared_after: int
    """How many were compared after the return."""
    first_step: int | None
    """The first step that was compared after it."""
    last_step: int | None
    """The last one."""
    largest_difference: float
    """The largest difference after the return."""
    largest_difference_step: int | None
    """At which step."""
    diverged_at_step: int | None
    """The first step after the return that differs by more than the tolerance."""
    compared_before: int
    """How many were compared before the stop."""
    largest_difference_before: float
    """The largest difference before the stop."""
    tolerance: float
    """What was allowed."""

    @property
    def repeatable(self) -> bool:
        """Whether the two runs were alike before the stop."""
        return self.largest_difference_before <= self.tolerance

    @property
    def same(self) -> bool | None:
        """Whether they are the same after the return; None where that could not be compared."""
        if not self.compared_after:
            return None
        return True if self.diverged_at_step is None else False if self.repeatable else None


@dataclass(frozen=True)
class WeightComparison:
    """The checkpoints of one step, saved by both runs after the resume; by size and checksum."""

    step: int
    """Of both checkpoints."""
    weight_files: tuple[str, ...]
    """The files that hold weights."""
    differing_weight_files: tuple[str, ...]
    """Those of them that differ."""
    differing_other_files: tuple[str, ...]
    """Other files that differ: optimizer, random states and the like."""
    repeatable: bool | None
    """Whether the weights were the same before the stop; None where no checkpoint tells."""

    @property
    def same(self) -> bool | None:
        """Whether the weights are the same, bit for bit; None where that could not be compared."""
        if not self.weight_files or (self.differing_weight_files and not self.repeatable):
            return None
        return not self.differing_weight_files


def compare_losses(
    before: Iterable[SeenStep],
    after: Iterable[SeenStep],
    reference: Iterable[SeenStep],
    tolerance: float,
) -> LossComparison:
    """Compare the losses of the first attempt and of the one that came back with the reference's.

    Only losses over the same steps are compared: a Trainer's, which is a mean since the last one,
    is another one where the stop fell in between.
    """
    wanted = _losses_by_step(reference)
    early = [
        _relative_difference(loss, wanted[key])
        for key, loss in _losses_by_step(before).items()
        if key in wanted
    ]
    late = {
        key[1]: _relative_difference(loss, wanted[key])
        for key, loss in sorted(_losses_by_step(after).items())
        if key in wanted
    }
    far = [step for step, difference in late.items() if difference > tolerance]
    worst = max(late, key=lambda step: late[step], default=None)
    return LossComparison(
        compared_after=len(late),
        first_step=min(late, default=None),
        last_step=max(late, default=None),
        largest_difference=0.0 if worst is None else late[worst],
        largest_difference_step=worst,
        diverged_at_step=far[0] if far else None,
        compared_before=len(early),
        largest_difference_before=max(early, default=0.0),
        tolerance=tolerance,
    )


def compare_weights(
    before: Iterable[SeenCheckpoint],
    after: Iterable[SeenCheckpoint],
    reference: Iterable[SeenCheckpoint],
) -> WeightComparison | None:
    """Compare the last checkpoints of the same step after the return; None where there are none.

    The control is the last one before the stop.
    """
    wanted = {one.step: one.files for one in reference}
    late = {one.step: one.files for one in after if one.step is not None and one.step in wanted}
    early = {one.step: one.files for one in before if one.step is not None and one.step in wanted}
    if not late:
        return None
    step = max(late)
    differing = _differing_files(late[step], wanted[step])
    control = _differing_files(early[max(early)], wanted[max(early)]) if early else None
    return WeightComparison(
        step=step,
        weight_files=tuple(sorted(name for name in wanted[step] if _WEIGHTS.search(name))),
        differing_weight_files=tuple(name for name in differing if _WEIGHTS.search(name)),
        differing_other_files=tuple(name for name in differing if not _WEIGHTS.search(name)),
        repeatable=None if control is None else not any(_WEIGHTS.search(name) for name in control),
    )


def _losses_by_step(steps: Iterable[SeenStep]) -> dict[tuple[int, int], float]:
    return {(one.since, one.step): one.loss for one in steps if one.loss is not None}


def _relative_difference(loss: float, wanted: float) -> float:
    if loss == wanted or (math.isnan(loss) and math.isnan(wanted)):
        return 0.0
    if not (math.isfinite(loss) and math.isfinite(wanted)):
        return math.inf
    return abs(loss - wanted) / abs(wanted) if wanted else math.inf


def _differing_files(
    one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
