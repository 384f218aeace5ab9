"""The metric that runs are compared by, and the value that each run has of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clusterrun.run_folder.metric_values import LOSS
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.run_status.file_status import RunStatus


@dataclass(frozen=True)
class Metric:
    """What runs are compared by."""

    name: str = LOSS
    """The name under which the script logs it."""
    goal: str = "min"
    """`min` or `max`: which values are better."""
    by_best: bool = False
    """Whether runs are sorted by their best value; by default by the last one."""

    def last(self, status: RunStatus) -> float | None:
        """Return a run's last value; None if it logged none."""
        if self.name == LOSS:
            return status.loss
        known = status.metrics.get(self.name)
        return known.last if known else None

    def best(self, status: RunStatus) -> tuple[float, int | None] | None:
        """Return a run's best value and its step; None if it logged none that is finite."""
        known = status.metrics.get(self.name)
        if known:
            return known.best(self.goal)
        last = self.last(status)  # of a run that recorded no other
        return None if last is None or not math.isfinite(last) else (last, None)

    def value(self, status: RunStatus) -> float | None:
        """Return the value that runs are compared by; None if the run has none."""
        if not self.by_best:
            return self.last(status)
        found = self.best(status)
        return found[0] if found else None


def choose_metric(
    paths: RunPaths | None, name: str | None = None, goal: str | None = None
) -> Metric:
    """Return the metric of the options, or else the one of the sweep in a run folder."""
    words = read_record(paths.intent).get("metric", "") if paths else ""
    own_goal, _, own_name = words.partition(" ")
    if not own_name and name is None and goal is None:
        return Metric()
    own_goal = own_goal if name in (None, own_name) else ""
    return Metric(name or own_name or LOSS, goal or own_goal or "min", by_best=True)


def sort_by_value(value: object, *, descending: bool = False) -> tuple[int, float, str]:
    """Return the key of a value: numbers first, in their order, then texts, then nothing."""
    try:
        number = float(value if value is not None else "nan")  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 1, 0.0, str(value)
    return (2, 0.0, "") if math.isnan(number) else (0, -number if descending else number, "")


def format_value(value: float | None) -> str:
    """Format a value of a metric with four digits after the point, or as many that count."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or 0.01 <= abs(value) < 1e6 else f"{value:.4g}"
