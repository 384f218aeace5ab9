"""Several runs side by side: the values in which they differ, their metric, and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clusterrun.errors import Problem, SpecError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.members import read_members
from clusterrun.run_folder.metric_values import LOSS
from clusterrun.run_folder.metrics import Point, join_points, read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.saved_spec import flatten_spec, read_saved_spec
from clusterrun.run_status.current import run_status
from clusterrun.run_status.file_status import RunStatus
from clusterrun.run_status.metric_choice import Metric, choose_metric, sort_by_value
from clusterrun.run_status.named_run import find_run
from clusterrun.run_status.slurm_snapshot import SlurmSnapshot, query_accounting, query_queue
from clusterrun.slurm.states import State

MOST_RUNS = 1000
_NOT_COMPARED = ("name", "sweep", "parameters")

XY = tuple[float, float]


@dataclass(frozen=True)
class ComparedRun:
    """One of several runs that are compared."""

    run_id: str
    """Its run id."""
    values: dict[str, str]
    """The values of its spec in which the runs differ, by path."""
    state: State
    """What it is doing, or how it ended."""
    step: int | None
    """The number of optimizer steps done."""
    total_steps: int | None
    """The total number of optimizer steps."""
    loss: float | None
    """The last logged loss."""
    metric: str
    """The metric that the runs are compared by."""
    last: float | None
    """Its last value."""
    best: float | None
    """Its best value."""
    best_step: int | None
    """The optimizer step of the best value."""
    folder: str
    """Its run folder."""


@dataclass(frozen=True)
class Curves:
    """The curves of a run, over optimizer steps."""

    loss: tuple[XY, ...] = ()
    metric: tuple[XY, ...] = ()
    """The metric that the runs are compared by; empty if that is the loss."""


@dataclass(frozen=True)
class RunComparison:
    """The compared runs, the best one first."""

    title: str
    """The run id of a sweep, or the number of runs."""
    metric: Metric
    """What they are compared by."""
    runs: tuple[ComparedRun, ...]
    """The runs, the best one first."""
    curves: Mapping[str, Curves]
    """Their curves by run id, if they were read."""


def compare_runs(
    names: Sequence[str],
    *,
    metric: str | None = None,
    goal: str | None = None,
    curves: bool = False,
    index: Index | None = None,
) -> RunComparison:
    """Compare runs, and all members of a sweep; `curves` reads the curves, too.

    Raises SpecError if a run is not found, or if there is only one run.
    """
    refs = list(dict.fromkeys(find_run(name, index) for name in names))
    chosen = choose_metric(refs[0].paths, metric, goal)
    pairs = [pair for status in _read_statuses(refs) for pair in _list_runs(status)]
    if not 2 <= len(pairs) <= MOST_RUNS:
        what = f"needs 2 to {MOST_RUNS} runs to compare, got {len(pairs)}"
        raise SpecError([Problem("", "", what, "name several runs, or a sweep")])
    differing = _keep_differences([values for _, values in pairs])
    runs = [
        _make_run(status, values, chosen)
        for (status, _), values in zip(pairs, differing, strict=True)
    ]
    descending = chosen.goal == "max"

    def key(run: ComparedRun) -> tuple[int, float, str]:
        return sort_by_value(run.best if chosen.by_best else run.last, descending=descending)

    title = refs[0].run_id if len(refs) == 1 else f"{len(runs)} runs"
    read = {run.run_id: _read_curves(run, chosen) for run in runs} if curves else {}
    return RunComparison(title, chosen, tuple(sorted(runs, key=key)), read)


def _read_statuses(refs: Sequence[RunRef]) -> list[RunStatus]:
    """Return the statuses with one call of squeue and one of sacct."""
    queue = query_queue()
    statuses = [run_status(ref, SlurmSnapshot(queue, {})) for ref in refs]
    accounts = query_accounting(statuses)
    if not accounts:
        return statuses
    return [run_status(ref, SlurmSnapshot(queue, accounts)) for ref in refs]


def _list_runs(status: RunStatus) -> list[tuple[RunStatus, dict[str, str]]]:
    """Return a run, or the tasks of an array, each with the values of its spec."""
    paths = RunPaths(Path(status.folder))
    is_task = paths.folder.name.startswith("task-")
    array = RunPaths(paths.folder.parent) if is_task else paths
    spec = read_saved_spec(array.folder)
    shared = flatten_spec({key: spec[key] for key in spec if key not in _NOT_COMPARED})
    own = {f"{array.folder.name}-{one.number}": one.values for one in read_members(array)}
    return [(run, {**shared, **own.get(run.run_id, {})}) for run in status.tasks or (status,)]


def _keep_differences(every: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    paths = list(dict.fromkeys(path for values in every for path in values))
    differ = [path for path in paths if len({values.get(path) for values in every}) > 1]
    return [{path: values[path] for path in differ if path in values} for values in every]


def _make_run(status: RunStatus, values: dict[str, str], metric: Metric) -> ComparedRun:
    best, best_step = metric.best(status) or (None, None)
    return ComparedRun(
        run_id=status.run_id,
        values=values,
        state=status.state,
        step=status.step,
        total_steps=status.total_steps,
        loss=status.loss,
        metric=metric.name,
        last=metric.last(status),
        best=best,
        best_step=best_step,
        folder=status.folder,
    )


def _read_curves(run: ComparedRun, metric: Metric) -> Curves:
    points = _read_points(RunPaths(Path(run.folder)))
    losses = tuple((point.step, point.loss) for point in points if point.loss is not None)
    return Curves(losses, () if metric.name == LOSS else tuple(_list_changes(points, metric.name)))


def _read_points(paths: RunPaths) -> list[Point]:
    try:
        return join_points([read_metrics(paths, attempt) for attempt in paths.attempts()])
    except OSError:  # the table is useful without one of the curves
        return []


def _list_changes(points: Sequence[Point], name: str) -> list[XY]:
    """Return the values of a metric where they change: each point repeats the last one."""
    changes: list[XY] = []
    for point in points:
        value = point.metrics.get(name)
        if value is not None and (not changes or changes[-1][1] != value):
            changes.append((point.step, value))
    return changes
