"""Comparison of two training runs: the interrupted one and the uninterrupted reference.

The steps before the stop are the control: if they differ already, training is not reproducible, and
a difference after the resume proves nothing about the resume.
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
    """The number of steps compared after the resume."""
    first_step: int | None
    """The first step compared after the resume."""
    last_step: int | None
    """The last step compared."""
    largest_difference: float
    """The largest difference after the resume."""
    largest_difference_step: int | None
    """The step with the largest difference."""
    diverged_at_step: int | None
    """The first step after the resume that differs by more than the tolerance."""
    compared_before: int
    """The number of steps compared before the stop."""
    largest_difference_before: float
    """The largest difference before the stop."""
    tolerance: float
    """The largest difference allowed."""

    @property
    def repeatable(self) -> bool:
        """Whether the losses of the two runs agree before the stop."""
        return self.largest_difference_before <= self.tolerance

    @property
    def same(self) -> bool | None:
        """Whether the losses agree after the resume; None if that could not be compared."""
        if not self.compared_after:
            return None
        return True if self.diverged_at_step is None else False if self.repeatable else None


@dataclass(frozen=True)
class WeightComparison:
    """A comparison, by size and checksum, of the checkpoints that both runs saved at one step."""

    step: int
    """The step of both checkpoints."""
    weight_files: tuple[str, ...]
    """The files that contain weights."""
    differing_weight_files: tuple[str, ...]
    """The files with weights that differ."""
    differing_other_files: tuple[str, ...]
    """Other files that differ, such as optimizer and random states."""
    repeatable: bool | None
    """Whether the weights agree before the stop; None without a checkpoint to compare."""

    @property
    def same(self) -> bool | None:
        """Whether the weights are identical; None if that could not be compared."""
        if not self.weight_files or (self.differing_weight_files and not self.repeatable):
            return None
        return not self.differing_weight_files


def compare_losses(
    before: Iterable[SeenStep],
    after: Iterable[SeenStep],
    reference: Iterable[SeenStep],
    tolerance: float,
) -> LossComparison:
    """Compare the losses of the first and of the resumed attempt with those of the reference.

    Only losses over the same steps are compared: a Trainer logs the mean loss since its last log
    line, and a stop in between changes which steps that includes.
    """
    expected = _losses_by_step(reference)
    early = [
        _relative_difference(loss, expected[key])
        for key, loss in _losses_by_step(before).items()
        if key in expected
    ]
    late = {
        key[1]: _relative_difference(loss, expected[key])
        for key, loss in sorted(_losses_by_step(after).items())
        if key in expected
    }
    too_different = [step for step, difference in late.items() if difference > tolerance]
    worst = max(late, key=lambda step: late[step], default=None)
    return LossComparison(
        compared_after=len(late),
        first_step=min(late, default=None),
        last_step=max(late, default=None),
        largest_difference=0.0 if worst is None else late[worst],
        largest_difference_step=worst,
        diverged_at_step=too_different[0] if too_different else None,
        compared_before=len(early),
        largest_difference_before=max(early, default=0.0),
        tolerance=tolerance,
    )


def compare_weights(
    before: Iterable[SeenCheckpoint],
    after: Iterable[SeenCheckpoint],
    reference: Iterable[SeenCheckpoint],
) -> WeightComparison | None:
    """Compare the last checkpoints of the same step after the resume; None without any.

    The control is the last such checkpoint before the stop.
    """
    expected = {one.step: one.files for one in reference}
    late = {one.step: one.files for one in after if one.step is not None and one.step in expected}
    early = {one.step: one.files for one in before if one.step is not None and one.step in expected}
    if not late:
        return None
    step = max(late)
    differing = _list_differing_files(late[step], expected[step])
    control = _list_differing_files(early[max(early)], expected[max(early)]) if early else None
    return WeightComparison(
        step=step,
        weight_files=tuple(sorted(name for name in expected[step] if _WEIGHTS.search(name))),
        differing_weight_files=tuple(name for name in differing if _WEIGHTS.search(name)),
        differing_other_files=tuple(name for name in differing if not _WEIGHTS.search(name)),
        repeatable=None if control is None else not any(_WEIGHTS.search(name) for name in control),
    )


def _losses_by_step(steps: Iterable[SeenStep]) -> dict[tuple[int, int], float]:
    return {(one.since, one.step): one.loss for one in steps if one.loss is not None}


def _relative_difference(loss: float, expected: float) -> float:
    if loss == expected or (math.isnan(loss) and math.isnan(expected)):
        return 0.0
    if not (math.isfinite(loss) and math.isfinite(expected)):
        return math.inf
    return abs(loss - expected) / abs(expected) if expected else math.inf


def _list_differing_files(
    one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
