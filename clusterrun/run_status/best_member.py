"""The best member of a sweep, and its checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.results import SweepMember
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.members import read_members
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.control import status
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.metric_choice import choose_metric
from clusterrun.run_status.saved_checkpoints import SavedCheckpoint, checkpoints
from clusterrun.run_status.sweep_members import Row, sweep_rows
from clusterrun.slurm.states import State


@dataclass(frozen=True)
class BestMember:
    """The member of a sweep with the best value of the metric."""

    run_id: str
    """Its run id."""
    number: int
    """Its number, from 0."""
    name: str
    """Its name."""
    values: dict[str, str]
    """Its values as the spec has them, by path."""
    state: State
    """What it is doing, or how it ended."""
    metric: str
    """The name of the metric."""
    goal: str
    """`min` or `max`."""
    value: float
    """The value that it was selected by."""
    value_step: int | None
    """The optimizer step of the value; None if it is the last one."""
    folder: str
    """Its run folder."""
    checkpoint: str | None
    """The path of its complete checkpoint at the step of the value, or else of the newest complete
    one; None without a checkpoint."""
    checkpoint_step: int | None
    """The optimizer steps done in that checkpoint."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values, for JSON."""
        return {**asdict(self), "state": self.state.value}


def best(
    name: str, *, metric: str | None = None, goal: str | None = None, index: Index | None = None
) -> BestMember:
    """Return the best member of a sweep, or the best task of an array.

    By default by the sweep's own metric; without one, by the last loss. Raises SpecError for a run
    without members, ClusterError if none has logged the metric.
    """
    found = status(name, index)
    rows = [row for row in _read_rows(found, metric, goal) if _is_finite(row)]
    if not rows:
        chosen = choose_metric(RunPaths(Path(found.folder)), metric, goal)
        raise ClusterError(
            f"no member of {found.run_id} has logged {chosen.name}", _list_logged(found.tasks)
        )
    row = rows[0]
    value = row.metric.value(row.status)
    assert value is not None  # noqa: S101 - for the type checker
    step = best_of[1] if row.metric.by_best and (best_of := row.metric.best(row.status)) else None
    # by its folder: a name as short as this may be the start of another run's
    checkpoint = _choose_checkpoint(checkpoints(row.status.folder, index=index), step)
    return BestMember(
        run_id=row.status.run_id,
        number=row.member.number,
        name=row.member.name,
        values=row.member.values,
        state=row.status.state,
        metric=row.metric.name,
        goal=row.metric.goal,
        value=value,
        value_step=step,
        folder=row.status.folder,
        checkpoint=checkpoint.path if checkpoint else None,
        checkpoint_step=checkpoint.step if checkpoint else None,
    )


def _read_rows(found: RunStatus, metric: str | None, goal: str | None) -> list[Row]:
    if not found.tasks:
        hint = "name a sweep or a job array; `clusterrun list --sort best` compares other runs"
        raise SpecError([Problem("", "", f"{found.run_id} has no members", hint)])
    paths = RunPaths(Path(found.folder))
    members: Sequence[SweepMember] = read_members(paths) or [
        SweepMember(int(task.run_id.rpartition("-")[2]), task.run_id, {}) for task in found.tasks
    ]
    return sweep_rows(found, members, None, choose_metric(paths, metric, goal))


def _is_finite(row: Row) -> bool:
    value = row.metric.value(row.status)
    return value is not None and math.isfinite(value)


def _list_logged(tasks: Sequence[RunStatus]) -> str:
    names = sorted({name for task in tasks for name in task.metrics})
    if names:
        return f"use --metric with one of {', '.join(names)}"
    return "log it in the training script with `run.log(NAME=value)`; Trainer's logs are recorded"


def _choose_checkpoint(
    saved: Sequence[SavedCheckpoint], step: int | None
) -> SavedCheckpoint | None:
    """Return the complete checkpoint of a step, or else the newest complete one."""
    complete = [one for one in saved if not one.fault]
    return next(
        (one for one in reversed(complete) if step is not None and one.step == step),
        complete[-1] if complete else None,
    )
