"""How much of a run's time became training that counts, and where the rest went. Functions from values to values.

The measure is the effective training time ratio, ETTR: productive time over the wall clock time in which somebody
wanted the run to train, the queue included. Source: A. Kokolis and others, Revisiting Reliability in Large-Scale
Machine Learning Research Clusters, 2024. All times are in seconds, instants in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from clusterrun.run_folder.attempts import Attempt
from clusterrun.run_folder.metrics import Metrics, Point

PARTS = {
    "productive": "training that counts",
    "lost": "steps that were trained again",
    "saving": "standing still for checkpoints",
    "start": "start-up, to the first step",
    "ending": "ending",
    "waiting": "in the queue",
    "unknown": "not known",
}
"""The parts of a split, in words."""


@dataclass(frozen=True)
class Split:
    """A time and what became of it; the parts are the whole."""

    productive: float = 0.0
    """Steps that no later attempt trained again, with the evaluations between them."""
    lost: float = 0.0
    """Steps that a later attempt trained again."""
    saving: float = 0.0
    """Training stood still for checkpoints."""
    start: float = 0.0
    """From the begin of an attempt until its first step is done."""
    ending: float = 0.0
    """From the last step, or the training's word that it leaves, to the end of the attempt."""
    waiting: float = 0.0
    """In the queue: before the first attempt, and between two."""
    unknown: float = 0.0
    """Attempts of a script that does not use clusterrun.training."""

    @property
    def wall(self) -> float:
        """The whole."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def held(self) -> float:
        """The time in which the run had its nodes."""
        return self.wall - self.waiting

    @property
    def ettr(self) -> float | None:
        """The productive share of the whole; None where it cannot be known."""
        return None if self.wall <= 0 or self.unknown else self.productive / self.wall

    def __add__(self, other: Split) -> Split:
        return Split(
            *(getattr(self, field.name) + getattr(other, field.name) for field in fields(self))
        )


@dataclass(frozen=True)
class Story:
    """One attempt in time: the instants between which its parts lie, and how long they are."""

    number: int
    """The attempt's."""
    asked: float | None
    """Since when it waited; None where that is not known."""
    began: float
    """When its script began."""
    first_step: float | None
    """When its first step was done; None: it did none."""
    lost_from: float | None
    """From here on a later attempt trained the steps again; None: all count."""
    trained: float
    """Until when it trained."""
    ended: float
    """When it ended, or now."""
    split: Split
    """Its seconds, by what they became."""


def stories(
    attempts: Sequence[Attempt],
    measures: Sequence[Metrics],
    asked: Sequence[tuple[float, int]],
    until: float | None,
) -> list[Story]:
    """Tell each attempt of a run that says when it began, oldest first.

    `asked` are the submissions: when each was asked for, and the number of the last attempt before it (0: none).
    `until` is now, for a run that lives; None for one that has ended.
    """
    known = [
        (one, measure)
        for one, measure in zip(attempts, measures, strict=True)
        if one.began is not None
    ]
    talks = any(measure.first_step is not None for measure in measures)
    talks = talks or any(one.step_from is not None for one in attempts)
    told: list[Story] = []
    for index, (one, measure) in enumerate(known):
        later = [other.step_from for other, _ in known[index + 1 :] if other.step_from is not None]
        since = _since(one, told[-1] if told else None, asked)
        living = until if index == len(known) - 1 else None
        told.append(
            _story(
                one,
                measure,
                since,
                living,
                min(later, default=None) if talks else None,
                talks=talks,
            )
        )
    return told


def waiting_still(
    attempts: Sequence[Story], asked: Sequence[tuple[float, int]], until: float | None
) -> Split:
    """Return what a run has waited for an attempt that has not begun; nothing of one that has ended."""
    last = attempts[-1].number if attempts else 0
    since = [one.ended for one in attempts[-1:]] + [
        moment for moment, after in asked if after >= last
    ]
    return Split(waiting=max(until - since[-1], 0.0)) if since and until is not None else Split()


def total(attempts: Sequence[Story], still: Split) -> Split:
    """Add up the attempts, and what is waited still."""
    return sum((one.split for one in attempts), still)


def _since(one: Attempt, before: Story | None, asked: Sequence[tuple[float, int]]) -> float | None:
    """Return since when an attempt waited: its submission, or the end of the attempt before it."""
    first = before.number if before else 0
    own = [moment for moment, after in asked if first <= after < one.number]
    if own:
        return own[-1]
    return before.ended if before else None


def _story(
    one: Attempt,
    measure: Metrics,
    asked: float | None,
    living: float | None,
    repeated: int | None,
    *,
    talks: bool,
) -> Story:
    began = float(one.began or 0)
    sign = _last_sign(measure, began)
    ended = (
        float(one.ended)
        if one.ended is not None
        else living
        if living is not None and not one.cause
        else sign
    )
    ended = max(ended, began)
    runs = living is not None and one.ended is None and not one.cause
    waiting = max(began - asked, 0.0) if asked is not None else 0.0
    if not talks:
        return Story(
            one.number,
            asked,
            began,
            None,
            None,
            ended,
            ended,
            Split(waiting=waiting, unknown=ended - began),
        )
    first = ended if measure.first_step is None else min(max(measure.first_step, began), ended)
    trained = (
        first
        if measure.first_step is None
        else ended
        if runs and measure.left is None
        else min(sign, ended)
    )
    trained = max(trained, first)
    saving = min(measure.saving, trained - first)
    lost_from, lost = _lost(measure.points, repeated, first)
    lost = min(lost, trained - first - saving)
    split = Split(
        productive=trained - first - saving - lost,
        lost=lost,
        saving=saving,
        start=first - began,
        ending=ended - trained,
        waiting=waiting,
    )
    known_first = None if measure.first_step is None else first
    return Story(one.number, asked, began, known_first, lost_from, trained, ended, split)


def _last_sign(measure: Metrics, began: float) -> float:
    """Return when an attempt is known to have trained last."""
    if measure.left is not None:
        return measure.left
    last = measure.points[-1].time if measure.points else began
    return max(last, measure.first_step or began)


def _lost(
    points: Sequence[Point], repeated: int | None, first: float
) -> tuple[float | None, float]:
    """Return from when on an attempt's steps were trained again from step `repeated`, and for how long it did them."""
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
