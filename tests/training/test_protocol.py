"""What the job script passes to the training library, and which files count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.training import TrainingError
from clusterrun.training.checkpointing.interval import Interval, SaveSchedule, parse_interval
from clusterrun.training.checkpointing.store import Checkpoints
from clusterrun.training.protocol import read_protocol
from clusterrun.training.records.progress import Progress
from clusterrun.training.stopping.requests import StopRequest
from tests.training_scripts.launches import ROOT, fake_checkpoint, names


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("90s", Interval(seconds=90.0)),
        ("10min", Interval(seconds=600.0)),
        ("1.5 h", Interval(seconds=5400.0)),
        ("10 minutes", Interval(seconds=600.0)),
        ("1 h 30 min", Interval(seconds=5400.0)),
        ("2d", Interval(seconds=172800.0)),
        ("1:30:00", Interval(seconds=5400.0)),
        ("500 steps", Interval(steps=500)),
        ("1 step", Interval(steps=1)),
        ("auto", Interval(auto=True)),
    ],
)
def test_an_interval_is_a_time_or_a_number_of_steps(text, interval):
    """Every form of an interval in the protocol is understood."""
    assert parse_interval(text) == interval


@pytest.mark.parametrize(
    "text",
    ["", "10", "0s", "0 steps", "-5s", "1.5 steps", "s", "infinite", "9" * 5000 + "h", "\u0661h"],
)
def test_any_other_interval_is_refused(text):
    """An invalid interval is named in the error, with the valid forms."""
    with pytest.raises(
        TrainingError, match=r"is not a checkpoint interval\n  hint: write a duration"
    ):
        parse_interval(text)


def test_a_timed_save_is_requested_once_until_it_is_done():
    """An interval that has ended requests one save, not one at each step until all agree."""
    now = [0.0]
    schedule = SaveSchedule(Interval(seconds=10.0), optimum=lambda: 0.0, clock=lambda: now[0])
    assert not schedule.time_is_up()
    now[0] = 10.0
    assert [schedule.time_is_up(), schedule.time_is_up()] == [True, False]
    schedule.saved()
    now[0] = 19.0
    assert not schedule.time_is_up()
    now[0] = 20.0
    assert schedule.time_is_up()


PROTOCOL = {
    "CLUSTERRUN_PROTOCOL": "1",
    "CLUSTERRUN_RUN_DIR": "/runs/a",
    "CLUSTERRUN_ATTEMPT": "0002",
    "CLUSTERRUN_STOP_FILE": "/node/stop",
}


def test_the_protocol_is_read():
    """Every variable of the job script reaches the training library, with its type."""
    attempt = read_protocol(
        PROTOCOL
        | {
            "CLUSTERRUN_WORLD_SIZE": "8",
            "CLUSTERRUN_CHECKPOINT_EVERY": "10min",
            "CLUSTERRUN_CHECKPOINT_KEEP": "3",
        }
    )
    assert attempt is not None
    assert attempt.paths == RunPaths(Path("/runs/a"))
    assert (attempt.name, attempt.stop_file) == ("0002", Path("/node/stop"))
    assert (attempt.world_size, attempt.every, attempt.keep) == (8, Interval(seconds=600.0), 3)


def test_missing_variables_of_the_protocol_are_none():
    """A run does not need an interval, a number to keep or a world size."""
    attempt = read_protocol(PROTOCOL)
    assert attempt is not None
    assert (attempt.world_size, attempt.every, attempt.keep) == (None, None, None)


def test_without_a_protocol_there_is_no_attempt():
    """A script that clusterrun did not start is left alone."""
    assert read_protocol({"CLUSTERRUN_RUN_DIR": "/runs/a"}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CLUSTERRUN_PROTOCOL": "2"}, "uses protocol 2, but this clusterrun.training uses 1"),
        ({"CLUSTERRUN_RUN_DIR": ""}, "CLUSTERRUN_RUN_DIR is not set"),
        ({"CLUSTERRUN_ATTEMPT": "second"}, "CLUSTERRUN_ATTEMPT is 'second'"),
        ({"CLUSTERRUN_CHECKPOINT_KEEP": "0"}, "CLUSTERRUN_CHECKPOINT_KEEP is '0'"),
        ({"CLUSTERRUN_CHECKPOINT_EVERY": "often"}, "'often' is not a checkpoint interval"),
    ],
)
def test_an_invalid_protocol_is_refused(change, message):
    """Another version, a missing variable or a wrong value stops the attempt, and is named."""
    with pytest.raises(TrainingError, match=message):
        read_protocol(PROTOCOL | change)


def test_a_stop_is_not_forgotten(tmp_path):
    """Once the node's stop file has existed the stop remains, even if the file disappears."""
    signal = tmp_path / "signal"
    request = StopRequest(signal, None)
    assert not request.requested()
    signal.touch()
    assert request.requested()
    signal.unlink()
    assert request.requested()


def test_an_empty_stop_file_is_no_stop(tmp_path):
    """The run's stop file always exists: only a line in it is a request."""
    person = tmp_path / "stop"
    person.write_text("\n")
    assert not StopRequest(tmp_path / "signal", person).requested()
    assert not StopRequest(tmp_path / "signal", tmp_path / "missing").requested()
    person.write_text("enough\n")
    assert StopRequest(tmp_path / "signal", person).requested()


def test_checkpoints_of_a_fenced_attempt_are_not_resumed(tmp_path):
    """A later attempt's checkpoint is newer than what an earlier attempt published after it."""
    fake_checkpoint(tmp_path, step=90, attempt=1)
    expected = fake_checkpoint(tmp_path, step=70, attempt=2)
    fake_checkpoint(tmp_path, step=60, attempt=2)
    newest = Checkpoints(tmp_path, tmp_path / "staging", attempt=3, keep=None).newest()
    assert newest is not None
    assert newest.name == expected


def test_a_later_attempts_checkpoints_are_not_pruned(tmp_path):
    """An attempt that still runs although another has taken over leaves that one's checkpoints
    alone.
    """
    checkpoints = tmp_path / "checkpoints"
    later = [fake_checkpoint(checkpoints, step=step, attempt=2) for step in (1, 2)]
    fake_checkpoint(checkpoints, step=3, attempt=1)
    own = fake_checkpoint(checkpoints, step=4, attempt=1)
    staging = tmp_path / "staging"
    staging.mkdir()
    Checkpoints(checkpoints, staging, attempt=1, keep=1).prune()
    assert names(tmp_path) == [*later, own]


def test_progress_that_cannot_be_written_is_ignored(tmp_path):
    """A full disk does not end the training through its progress file."""
    progress = Progress(tmp_path / "missing" / "progress")
    progress.update(1, 2, 0.5, None)
    progress.write()
    progress = Progress(tmp_path / "progress")
    progress.update(1, 2, 0.5, None)
    progress.write()
    assert read_record(tmp_path / "progress")["loss"] == "0.5"


def test_a_blocked_progress_file_delays_no_step(tmp_path):
    """Steps continue while a write waits; the last step's progress remains."""
    os.mkfifo(tmp_path / ".progress.draft")  # opening it waits for a reader
    progress = Progress(tmp_path / "progress")
    progress._written -= 60
    for step in range(1, 4):
        progress.update(step, 3, 0.5, None)
    assert not (tmp_path / "progress").exists()
    descriptor = os.open(tmp_path / ".progress.draft", os.O_RDONLY)
    progress.write()
    os.close(descriptor)
    assert read_record(tmp_path / "progress")["step"] == "3"


def test_importing_it_is_light():
    """The training package loads neither torch nor accelerate by itself."""
    command = "import sys, clusterrun.training; print({'torch', 'accelerate'} & sys.modules.keys())"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"
