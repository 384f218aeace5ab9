"""The outlook of a run: its speed, remaining time, and next and last checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.metrics import Metrics, Point, join_points, read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import number, read_record, whole
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint, last_checkpoint
from clusterrun.slurm.states import State

_RECENT_S = 600.0  # the speed is measured over the last ten minutes of training
_POINTS = 200  # enough for a sparkline


@dataclass(frozen=True)
class Outlook:
    """What else is known of a run; None or empty: unknown, or it is not running."""

    activity: str
    """What the training library is doing: start, step, evaluation, save, epoch, end or other."""
    samples_per_second: float | None
    """Samples per second."""
    learning_rate: float | None
    """The last logged learning rate."""
    seconds_per_step: float | None
    """Seconds per optimizer step over the last ten minutes, including saves and evaluations."""
    seconds_left: int | None
    """Seconds until the last step of the training at that speed."""
    next_checkpoint_step: int | None
    """The step of the next checkpoint, if it is due by steps."""
    next_checkpoint_at: int | None
    """When the next checkpoint is due, in seconds since the epoch."""
    last_checkpoint: SavedCheckpoint | None
    """The newest checkpoint; its sizes are compared, its data is not read."""
    losses: tuple[tuple[int, float], ...]
    """(step, loss) pairs of the newest attempts, thinned out; a repeated step counts once."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return asdict(self)


def outlook(status: RunStatus) -> Outlook:
    """Return the outlook of a run from its folder; empty for an array, whose tasks are runs."""
    paths = RunPaths(Path(status.folder))
    runs = status.state is State.RUNNING and not status.tasks
    progress = _read_progress(paths) if runs else {}
    newest = _read_newest_attempts(paths)
    speed = step_seconds(newest[-1].points) if newest and runs else None
    ahead = (
        None
        if status.total_steps is None or status.step is None
        else max(status.total_steps - status.step, 0)
    )
    return Outlook(
        activity=progress.get("doing", ""),
        samples_per_second=number(progress.get("rate")),
        learning_rate=number(progress.get("learning_rate")),
        seconds_per_step=speed,
        seconds_left=None if speed is None or ahead is None else round(speed * ahead),
        next_checkpoint_step=whole(progress.get("save_at_step")),
        next_checkpoint_at=whole(progress.get("save_at")),
        last_checkpoint=last_checkpoint(RunRef(status.run_id, paths)),
        losses=tuple(
            {
                point.step: point.loss for point in join_points(newest) if point.loss is not None
            }.items()
        ),
    )


def _read_progress(paths: RunPaths) -> Mapping[str, str]:
    """Return the current attempt's progress; until its first record, the attempt is starting."""
    progress = read_record(paths.progress)
    begin = read_record(paths.begin((paths.attempts() or [""])[-1]))
    started, reported = whole(begin.get("began")), whole(progress.get("time"))
    if started is None or reported is None or reported >= started:
        return progress
    return {"doing": "start"}


def step_seconds(points: Sequence[Point]) -> float | None:
    """Return the recent seconds per step of an attempt; None before its second step."""
    recent = [point for point in points if points[-1].time - point.time <= _RECENT_S]
    if len(recent) < 2 or recent[-1].step <= recent[0].step:
        return None
    return (recent[-1].time - recent[0].time) / (recent[-1].step - recent[0].step)


def _read_newest_attempts(paths: RunPaths) -> list[Metrics]:
    """Read as many of the newest attempts as a sparkline needs, oldest first."""
    metrics: list[Metrics] = []
    for name in reversed(paths.attempts()):
        metrics.append(read_metrics(paths, name))
        if sum(len(one.points) for one in metrics) >= _POINTS:
            break
    return metrics[::-1]
