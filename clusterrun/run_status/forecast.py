"""The outlook of a run: its speed, its remaining time, its next and its last checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.metrics import Metrics, Point, join_points, read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record, whole
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint, last_checkpoint
from clusterrun.slurm.states import State

_RECENT_S = 600.0  # seconds of training that the speed is taken from
_POINTS = 200  # enough for a line of characters


@dataclass(frozen=True)
class Outlook:
    """What is known of a run besides its status; None or empty: not known, or it is not running."""

    activity: str
    """start, step, evaluation, save, epoch, end or other: what the training library does."""
    samples_per_second: float | None
    """Samples a second."""
    learning_rate: float | None
    """The last that was logged."""
    seconds_per_step: float | None
    """Seconds for an optimizer step over the last ten minutes, saves and evaluations included."""
    seconds_left: int | None
    """Seconds to the last step of the training at that speed."""
    next_checkpoint_step: int | None
    """The step after which it is due, if it is due by steps."""
    next_checkpoint_at: int | None
    """When it is due, in seconds since the epoch."""
    last_checkpoint: SavedCheckpoint | None
    """The newest, with sizes compared, not read through."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss) over the newest attempts, thinned; steps that were trained again count once."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)


def outlook(found: RunStatus) -> Outlook:
    """Read the outlook of a run from its folder; an array has none, because its tasks are runs."""
    paths = RunPaths(Path(found.folder))
    runs = found.state is State.RUNNING and not found.tasks
    progress = read_record(paths.progress) if runs else {}
    newest = _read_newest_attempts(paths)
    speed = step_seconds(newest[-1].points) if newest and runs else None
    ahead = (
        None
        if found.total_steps is None or found.step is None
        else max(found.total_steps - found.step, 0)
    )
    return Outlook(
        activity=progress.get("doing", ""),
        samples_per_second=number(progress.get("rate")),
        learning_rate=number(progress.get("learning_rate")),
        seconds_per_step=speed,
        seconds_left=None if speed is None or ahead is None else round(speed * ahead),
        next_checkpoint_step=whole(progress.get("save_at_step")),
        next_checkpoint_at=whole(progress.get("save_at")),
        last_checkpoint=last_checkpoint(RunRef(found.run_id, paths)),
        losses=tuple(
            {
                point.step: point.loss for point in join_points(newest) if point.loss is not None
            }.items()
        ),
    )


def step_seconds(points: Sequence[Point]) -> float | None:
    """Return the seconds for a step at the end of an attempt; None before its second step."""
    recent = [point for point in points if points[-1].time - point.time <= _RECENT_S]
    if len(recent) < 2 or recent[-1].step <= recent[0].step:
        return None
    return (recent[-1].time - recent[0].time) / (recent[-1].step - recent[0].step)


def _read_newest_attempts(paths: RunPaths) -> list[Metrics]:
    """Read the newest attempts, as many as a sparkline needs, the oldest first."""
    found: list[Metrics] = []
    for name in reversed(paths.attempts()):
        found.append(read_metrics(paths, name))
        if sum(len(one.points) for one in found) >= _POINTS:
            break
    return found[::-1]
