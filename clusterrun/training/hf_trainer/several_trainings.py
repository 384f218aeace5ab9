"""Several trainings of Trainers in one script, one after another, such as cross-validation."""

from __future__ import annotations

from pathlib import Path

from clusterrun.errors import TrainingError
from clusterrun.training.protocol import AttemptContext

# The optimizer steps of the trainings in this process, by attempt and output_dir; 0 until they end.
_steps: dict[tuple[Path, str], dict[Path, int]] = {}


def begin_training(attempt: AttemptContext | None, output_dir: Path, *, continues: bool) -> int:
    """Return the steps of this attempt's earlier trainings, which the run's steps include.

    `continues`: the script requests the newest checkpoint. Otherwise raises TrainingError under
    clusterrun if an earlier training used the output_dir.
    """
    if attempt is None:
        return 0
    trainings = _steps.setdefault((attempt.paths.folder, attempt.name), {})
    if output_dir in trainings and not continues:
        raise TrainingError(
            f"train() is called a second time with output_dir {output_dir}: it would load the last "
            "checkpoint of the first training, and train nothing",
            "give each training an output_dir of its own, or pass resume_from_checkpoint=True if "
            "it continues the first one",
        )
    trainings[output_dir] = 0
    return sum(trainings.values())


def end_training(attempt: AttemptContext | None, output_dir: Path, steps: int) -> None:
    """Record the steps of a complete training."""
    if attempt:
        _steps[attempt.paths.folder, attempt.name][output_dir] = steps
