"""How much of a run's time was productive training, and where the rest went.

The measure is the effective training time ratio, ETTR: productive time over the wall clock time in
which the run was meant to train, including the queue. Source: A. Kokolis and others,
Revisiting Reliability in Large-Scale Machine Learning Research Clusters, 2024. All times are in
seconds, instants in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.metrics import Metrics, Point

PARTS = {
    "productive": "productive training",
    "lost": "steps that were trained again",
    "saving": "training paused for checkpoints",
    "startup": "startup, until the first step",
    "shutdown": "shutdown",
    "waiting": "in the queue",
    "unknown": "unknown",
}
"""The parts of a time split, as the report names them."""


@dataclass(frozen=True)
class TimeSplit:
    """The parts of a time span, which add up to the whole."""

    productive: float = 0.0
    """Steps that no later attempt trained again, including evaluations between them."""
    lost: float = 0.0
    """Steps that a later attempt trained again."""
    saving: float = 0.0
    """Training paused for checkpoints."""
    startup: float = 0.0
    """From the start of an attempt to the end of its first step."""
    shutdown: float = 0.0
    """From the last step, or the training library's exit, to the end of the attempt."""
    waiting: float = 0.0
    """In the queue, before the first attempt and between attempts."""
    unknown: float = 0.0
    """Attempts of a script that does not use clusterrun.training."""

    @property
    def wall(self) -> float:
        """The sum of all parts."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def allocated(self) -> float:
        """The time in which the run had its nodes."""
        return self.wall - self.waiting

    @property
    def ettr(self) -> float | None:
        """The productive share of the whole; None if unknown."""
        return None if self.wall <= 0 or self.unknown else self.productive / self.wall

    def __add__(self, other: TimeSplit) -> TimeSplit:
        return TimeSplit(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )


@dataclass(frozen=True)
class AttemptTimeline:
    """The timeline of one attempt: when its parts start and end, and how long they last."""

    number: int
    """The number of the attempt."""
    waiting_since: float | None
    """When its wait in the queue started; None if unknown."""
    started_at: float
    """When its script started."""
    first_step_at: float | None
    """When its first step was done; None if it did no step."""
    lost_since: float | None
    """From this time on, a later attempt trained the steps again; None if all steps count."""
    trained_until: float
    """When it stopped training."""
    ended_at: float
    """When it ended, or the current time."""
    time_split: TimeSplit
    """The parts of its time, in seconds."""


def make_timelines(
    attempts: Sequence[Attempt],
    measures: Sequence[Metrics],
    submissions: Sequence[tuple[float, int]],
    until: float | None,
) -> list[AttemptTimeline]:
    """Return the timeline of each attempt with a known start, oldest first.

    `submissions` are the time of each submission and the number of the last attempt before it (0:
    none). `until` is the current time for an active run; None for one that has ended.
    """
    known = [
        (one, measure)
        for one, measure in zip(attempts, measures, strict=True)
        if one.started_at is not None
    ]
    uses_library = any(measure.first_step is not None for measure in measures)
    uses_library = uses_library or any(one.resumed_from_step is not None for one in attempts)
    timelines: list[AttemptTimeline] = []
    for index, (one, measure) in enumerate(known):
        later = [
            other.resumed_from_step
            for other, _ in known[index + 1 :]
            if other.resumed_from_step is not None
        ]
        since = _waiting_since(one, timelines[-1] if timelines else None, submissions)
        now = until if index == len(known) - 1 else None
        timelines.append(
            _make_timeline(
                one,
                measure,
                since,
                now,
                min(later, default=None) if uses_library else None,
                uses_library=uses_library,
            )
        )
    return timelines


def measure_waiting(
    attempts: Sequence[AttemptTimeline],
    submissions: Sequence[tuple[float, int]],
    until: float | None,
) -> TimeSplit:
    """Return how long an active run has been waiting for its next attempt."""
    last = attempts[-1].number if attempts else 0
    since = [one.ended_at for one in attempts[-1:]] + [
        moment for moment, after in submissions if after >= last
    ]
    return (
        TimeSplit(waiting=max(until - since[-1], 0.0))
        if since and until is not None
        else TimeSplit()
    )


def total_split(attempts: Sequence[AttemptTimeline], still: TimeSplit) -> TimeSplit:
    """Add up the attempts and the current wait."""
    return sum((one.time_split for one in attempts), still)


def _waiting_since(
    one: Attempt, before: AttemptTimeline | None, submissions: Sequence[tuple[float, int]]
) -> float | None:
    """Return when an attempt's wait started: its submission, or the end of the previous attempt."""
    first = before.number if before else 0
    own = [moment for moment, after in submissions if first <= after < one.number]
    if own:
        return own[-1]
    return before.ended_at if before else None


def _make_timeline(
    one: Attempt,
    measure: Metrics,
    waiting_since: float | None,
    now: float | None,
    repeated: int | None,
    *,
    uses_library: bool,
) -> AttemptTimeline:
    began = float(one.started_at or 0)
    ended = _find_end(one, measure, began, now)
    waiting = max(began - waiting_since, 0.0) if waiting_since is not None else 0.0
    if not uses_library:
        split = TimeSplit(waiting=waiting, unknown=ended - began)
        return AttemptTimeline(one.number, waiting_since, began, None, None, ended, ended, split)
    runs = now is not None and one.ended_at is None and not one.cause
    first, trained = _find_training(measure, began, ended, runs=runs)
    saving = min(measure.saving, trained - first)
    lost_from, lost = _measure_lost(measure.points, repeated, first)
    lost = min(lost, trained - first - saving)
    split = TimeSplit(
        productive=trained - first - saving - lost,
        lost=lost,
        saving=saving,
        startup=first - began,
        shutdown=ended - trained,
        waiting=waiting,
    )
    known_first = None if measure.first_step is None else first
    return AttemptTimeline(
        one.number, waiting_since, began, known_first, lost_from, trained, ended, split
    )


def _find_end(one: Attempt, measure: Metrics, began: float, now: float | None) -> float:
    """Return when an attempt ended: as recorded, now if it is running, else its last activity."""
    if one.ended_at is not None:
        return max(float(one.ended_at), began)
    if now is not None and not one.cause:
        return max(now, began)
    return max(_last_activity(measure, began), began)


def _find_training(
    measure: Metrics, began: float, ended: float, *, runs: bool
) -> tuple[float, float]:
    """Return when an attempt did its first step, and when it stopped training."""
    if measure.first_step is None:
        return ended, ended
    first = min(max(measure.first_step, began), ended)
    last = ended if runs and measure.left is None else min(_last_activity(measure, began), ended)
    return first, max(last, first)


def _last_activity(measure: Metrics, began: float) -> float:
    """Return when an attempt is last known to have trained."""
    if measure.left is not None:
        return measure.left
    last = measure.points[-1].time if measure.points else began
    return max(last, measure.first_step or began)


def _measure_lost(
    points: Sequence[Point], repeated: int | None, first: float
) -> tuple[float | None, float]:
    """Return when an attempt's lost steps start, and how long they took.

    A later attempt trained them again, from step `repeated` on.
    """
    if repeated is None or not points or points[-1].step <= repeated:
        return None, 0.0
    kept = [point for point in points if point.step <= repeated]
    after = points[len(kept)]
    if not kept:
        since, saving = first, 0.0
    else:
        share = (repeated - kept[-1].step) / max(after.step - kept[-1].step, 1)
        since, saving = kept[-1].time + share * (after.time - kept[-1].time), kept[-1].saving
    since = min(max(since, first), points[-1].time)
    return since, max(points[-1].time - since - (points[-1].saving - saving), 0.0)
