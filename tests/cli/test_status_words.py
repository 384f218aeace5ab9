"""The words of `status`: durations, character drawings, and the run's activity."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from clusterrun.cli.output.screen import draw_bar, draw_sparkline
from clusterrun.cli.output.status_text import format_status, format_status_line
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.metrics import Metrics, Point, join_points
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status.file_status import RunStatus, status_from_files
from clusterrun.run_status.forecast import outlook, step_seconds
from clusterrun.slurm.states import State
from clusterrun.units import format_clock, format_duration


def point(moment: float, step: int, loss: float | None = 1.0) -> Point:
    return Point(moment, step, loss, None, None, 0.0)


@pytest.mark.parametrize(("seconds", "words"), [
    (0, "0 s"), (-5, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (61, "1 min 1 s"), (640, "10 min"), (3600, "1 h"), (4800, "1 h 20 min"),
    (86_400, "1 d"), (90_000, "1 d 1 h"), (900_000, "10 d 10 h"),
])  # fmt: skip
def test_lengths_of_time(seconds, words):
    """A duration has at most two units, and no zeros."""
    assert format_duration(seconds) == words


def test_drawings():
    """A bar is as full as its share; a sparkline spans the lowest to the highest value."""
    assert (draw_bar(0, 8, 4), draw_bar(4, 8, 4), draw_bar(9, 8, 4), draw_bar(1, 0, 4)) == (
        "░░░░",
        "██░░",
        "████",
        "░░░░",
    )
    assert draw_sparkline([]) == ""
    assert draw_sparkline([3, 3, 3]) == "▁▁▁"
    assert draw_sparkline([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
    assert len(draw_sparkline(list(range(1000)), 32)) == 32
    assert (format_clock(None), format_clock(3661)) == ("", "1:01:01")


def test_repeated_steps_are_shown_once():
    """The loss curve has each step once, from the last attempt that trained it."""
    first, second = (
        Metrics((point(1, 1), point(2, 5), point(3, 9))),
        Metrics((point(7, 5), point(8, 8))),
    )
    assert [(one.time, one.step) for one in join_points([first, Metrics(), second])] == [
        (1, 1),
        (7, 5),
        (8, 8),
    ]


@pytest.mark.parametrize(("points", "seconds"), [
    ([], None), ([point(0, 1)], None), ([point(0, 1), point(10, 1)], None), ([point(0, 1), point(10, 6)], 2.0),
    ([point(0, 1), point(1000, 2), point(1100, 102)], 1.0),  # the last ten minutes count
])  # fmt: skip
def test_the_speed_is_that_of_the_last_ten_minutes(points, seconds):
    """The speed is measured from step to step, whatever happens in between."""
    assert step_seconds(points) == seconds


@pytest.fixture
def running(tmp_path) -> RunStatus:
    """A run that has trained 60 of 300 steps, two seconds each, and saved step 40."""
    paths = RunPaths(tmp_path / "tiny")
    for folder in (paths.events, paths.metrics("0001").parent, paths.checkpoints):
        folder.mkdir(parents=True)
    now = int(time.time())
    write_record(paths.begin("0001"), {"job_id": 12, "nodes": "n1", "began": now - 200})
    text = "step=60\ntotal=300\nloss=0.5\nrate=32\ndoing=step\nlearning_rate=0.1\nsave_at_step=80\n"
    paths.progress.write_text(text)
    lines = [
        {"time": now - 120 + 2 * step, "step": step, "loss": 1 - step / 100}
        for step in range(1, 61)
    ]
    paths.metrics("0001").write_text("\n".join(map(json.dumps, lines)))
    checkpoint = paths.checkpoints / "step-00000040-0001"
    checkpoint.mkdir()
    (checkpoint / "manifest.json").write_text("half")
    write_record(paths.saves, {"checkpoint": checkpoint.name, "step": 40})
    known = status_from_files(RunRef("tiny", paths, "12"))
    return RunStatus(**{**vars(known), "time_limit_at": now + 7300})


def test_the_activity_of_a_running_run(running):
    """It shows the speed, the time left, and the next and the last checkpoint."""
    ahead = outlook(running)
    assert (
        ahead.samples_per_second,
        ahead.seconds_per_step,
        ahead.seconds_left,
        ahead.activity,
    ) == (32.0, 2.0, 480, "step")
    assert (ahead.next_checkpoint_step, ahead.next_checkpoint_at, ahead.learning_rate) == (
        80,
        None,
        0.1,
    )
    assert ahead.losses[0] == (1, 0.99)
    assert ahead.last_checkpoint.fault == "no complete manifest.json"
    printed = format_status(running, ahead).splitlines()
    assert printed[:9] == [
        "run              tiny",
        "state            RUNNING",
        "job              12",
        "attempt          1",
        "step             60 of 300",
        "loss             0.5000",
        "speed            32 samples/s, 2 s per step",
        "remaining        8 min to the last step, 2 h 1 min to the job's time limit",
        "checkpoint       step-00000040-0001, 0 s ago, incomplete: no complete manifest.json",
    ]
    assert printed[9] == "next checkpoint  at step 80, in 40 s"
    line = "tiny  RUNNING  attempt 1  step 60 of 300  loss 0.5000  checkpoint step-00000040-0001"
    assert format_status_line(running, ahead) == line


@pytest.mark.parametrize(("doing", "words"), [
    ("start", "RUNNING (starting, no step done yet)"), ("save", "RUNNING (saving a checkpoint)"),
    ("evaluation", "RUNNING (evaluating)"), ("end", "RUNNING (exiting)"), ("step", "RUNNING"), ("new", "RUNNING"),
])  # fmt: skip
def test_the_activity_in_words(running, doing, words):
    """If Slurm has no reason, the training library's activity is shown."""
    paths = RunPaths(Path(running.folder))
    paths.progress.write_text(f"step=60\ndoing={doing}\n")
    assert f"state            {words}" in format_status(running, outlook(running)).splitlines()


def test_a_run_that_has_ended_has_no_speed(running):
    """Its last checkpoint is still shown."""
    ended = RunStatus(**{**vars(running), "state": State.COMPLETED, "reason": "finished"})
    ahead = outlook(ended)
    assert (
        ahead.samples_per_second,
        ahead.seconds_per_step,
        ahead.seconds_left,
        ahead.next_checkpoint_step,
    ) == (
        None,
        None,
        None,
        None,
    )
    assert ahead.last_checkpoint is not None


def test_a_script_that_reports_nothing(tmp_path):
    """There is nothing to show, and no error."""
    paths = RunPaths(tmp_path / "quiet")
    paths.events.mkdir(parents=True)
    write_record(paths.begin("0001"), {"job_id": 12})
    ahead = outlook(status_from_files(RunRef("quiet", paths, "12")))
    assert (ahead.losses, ahead.seconds_left, ahead.last_checkpoint, ahead.activity) == (
        (),
        None,
        None,
        "",
    )
