"""`every: auto`: how often a run saves follows from its measurements."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.training.checkpointing.interval import Interval, SaveSchedule
from clusterrun.training.checkpointing.optimum import (
    Optimum,
    best_interval,
    mean_seconds_between_interruptions,
)

HOUR = 3600


@pytest.fixture
def paths(tmp_path) -> RunPaths:
    (tmp_path / "events").mkdir()
    return RunPaths(Path(tmp_path))


def attempt(paths: RunPaths, number: int, began: int, **end: object) -> None:
    write_record(paths.begin(f"{number:04d}"), {"began": began})
    if end:
        write_record(paths.end(f"{number:04d}"), end)


@pytest.mark.parametrize(
    ("save", "between", "interval"),
    [
        (2.0, 4 * HOUR, 240.0),  # sqrt(2 * 2 * 14400)
        (8.0, 4 * HOUR, 480.0),  # four times the save: half as often
        (2.0, HOUR, 120.0),  # four times the interruptions: twice as often
        (0.01, 4 * HOUR, 30.0),
        (60.0, 1000 * HOUR, 3600.0),
        (60.0, HOUR, math.sqrt(2 * 60 * HOUR)),
        (60.0, HOUR / 10, 600.0),  # not more than a tenth of the time
        (600.0, 4 * HOUR, 6000.0),
    ],
)
def test_the_interval_is_youngs_within_limits(save, between, interval):
    """The interval is sqrt(2 * save * time between interruptions), from 30 s to 1 h, and ten saves
    at least.
    """
    assert best_interval(save, between) == pytest.approx(interval)


def test_without_attempts_an_interruption_in_four_hours_is_assumed(paths):
    """A run that has never been interrupted has a rate anyway."""
    assert mean_seconds_between_interruptions(paths, now=0) == 4 * HOUR
    attempt(paths, 1, began=0)
    assert mean_seconds_between_interruptions(paths, now=2 * HOUR) == 6 * HOUR


def test_interruptions_are_related_to_the_training_time(paths):
    """Preemptions, crashes and failed nodes count; a stop that is announced early does not; pending
    time is not training.
    """
    attempt(paths, 1, began=0, ended=HOUR, cause="preemption")
    attempt(paths, 2, began=9 * HOUR, ended=10 * HOUR, cause="crash")
    attempt(paths, 3, began=20 * HOUR, ended=22 * HOUR, cause="time-limit")
    attempt(paths, 4, began=30 * HOUR)  # it did not record how it ended
    attempt(paths, 5, began=40 * HOUR)
    assert mean_seconds_between_interruptions(paths, now=42 * HOUR) == (
        4 + 1 + 1 + 2 + 2
    ) * HOUR / (1 + 3)


def test_unreadable_records_are_ignored(paths):
    """A begin or an end without a time causes no error."""
    (paths.begin("0001")).write_text("job_id=1\n")
    write_record(paths.end("0001"), {"cause": "stop", "ended": "yesterday"})
    assert mean_seconds_between_interruptions(paths, now=HOUR) == 4 * HOUR


def test_the_first_save_is_early_and_the_next_as_measured(paths):
    """Two minutes until the save that is measured; from then on the interval that loses the least."""
    now, took = [0.0], [None]
    schedule = SaveSchedule(
        Interval(auto=True), Optimum(paths, lambda: took[0]), clock=lambda: now[0]
    )
    now[0] = 119.0
    assert not schedule.time_is_up()
    now[0] = 120.0
    assert schedule.time_is_up()
    took[0] = 2.0
    schedule.saved()
    now[0] = 120.0 + 239.0
    assert not schedule.time_is_up()
    now[0] = 120.0 + 240.0
    assert schedule.time_is_up()


def test_an_unavailable_run_folder_does_not_end_training(tmp_path):
    """If the records cannot be read, the assumed rate is used."""
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "attempt-0001.begin").mkdir()  # reading it raises an OSError
    assert Optimum(RunPaths(tmp_path), lambda: 2.0)() == 240.0
