"""How long a training may be silent, and what the progress file contains about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from clusterrun.training.records.progress import Progress
from clusterrun.training.stopping.patience import Activity, Patience
from clusterrun.training.stopping.requests import STACKS_SIGNAL
from tests.slurm.desk import until

MINUTES, HOURS = 60, 3600
NO_STEPS = [Activity.START, Activity.EVALUATION, Activity.SAVE, Activity.EPOCH, Activity.END]


def after(*steps: float) -> Patience:
    """Return the hang timeout of a training whose steps took these seconds."""
    patience, now = Patience(), 1000.0
    patience.step(now)
    for seconds in steps:
        now += seconds
        patience.step(now)
    return patience


@pytest.mark.parametrize(("steps", "seconds"), [
    ([], 15 * MINUTES),
    ([0.01] * 100, 15 * MINUTES),
    ([60.0] * 100, 20 * MINUTES),
    ([600.0, *[60.0] * 99], 40 * MINUTES),  # one silence of ten minutes: an evaluation that it does not report
    ([60.0] * 49 + [200.0], 20 * MINUTES),
    ([1.0] * 100 + [60.0] * 60, 20 * MINUTES),  # steps have become slower: the recent ones count
    ([3600.0], 20 * HOURS),
])  # fmt: skip
def test_the_timeout_of_a_step_is_a_multiple_of_the_median(steps, seconds):
    """At least a quarter of an hour, twenty median steps, and four times the longest so far."""
    assert after(*steps).seconds(Activity.STEP) == seconds


@pytest.mark.parametrize("doing", NO_STEPS)
def test_everything_but_steps_may_take_hours(doing):
    """The first step, evaluations and saves have no measure; if steps take longer, so may these."""
    assert after(*[0.1] * 50).seconds(doing) == 2 * HOURS
    assert (
        after(*[600.0] * 50).seconds(doing)
        == after(*[600.0] * 50).seconds(Activity.STEP)
        > 3 * HOURS
    )
    assert Patience().seconds(doing) == 2 * HOURS


def test_what_a_script_does_after_training_has_no_timeout():
    """Nobody knows how long that takes."""
    assert after(0.1).seconds(Activity.OTHER) == 0


def test_a_pause_is_not_a_step():
    """An evaluation of an hour between two steps makes no later step slow."""
    patience = after(*[0.1] * 10)
    patience.pause()
    patience.step(100_000.0)
    patience.step(100_000.1)
    assert patience.seconds(Activity.STEP) == 15 * MINUTES


@pytest.fixture
def recorded(tmp_path):
    """A progress record, and a function that reads its file."""
    path = tmp_path / "progress"
    progress = Progress(path)

    def read() -> dict[str, str]:
        if progress._notes:
            progress._notes.join()
        return read_record(path)

    return progress, read


def test_the_activity_is_recorded_before_it_starts(recorded):
    """Before an evaluation or a save is silent, the file names it, with its timeout."""
    progress, read = recorded
    progress.begin(Activity.START)
    assert (read()["doing"], read()["patience"]) == ("start", str(2 * HOURS))
    assert "step" not in read()
    progress.update(1, 9, 0.5, 8)
    with progress.during(Activity.SAVE):
        assert (read()["doing"], read()["step"], read()["loss"]) == ("save", "1", "0.5")
    assert (read()["doing"], read()["patience"]) == ("step", str(15 * MINUTES))
    progress.begin(Activity.EVALUATION)
    assert (read()["doing"], read()["patience"]) == ("evaluation", str(2 * HOURS))
    progress.update(2, 9, 0.4, 8)
    progress.write()
    assert (read()["doing"], read()["step"]) == ("step", "2")


def test_signs_of_life_between_steps(recorded):
    """Each batch of a long step or of an evaluation is one; nothing else changes."""
    progress, read = recorded
    progress.update(1, 9, 0.5, 8)
    progress.begin(Activity.EVALUATION)
    before = read()
    for sign in range(3):
        os.utime(progress._path, (sign, sign))
        progress._written -= 60
        progress.alive()
        assert read() | {"time": ""} == before | {"time": ""}
        assert progress._path.stat().st_mtime > 10


def test_a_new_attempt_shows_the_previous_step(recorded):
    """Its first record says that it has started; the step and the loss are those of the previous
    attempt until it has its own.
    """
    progress, read = recorded
    progress._path.write_text("step=31\ntotal=50\nloss=0.25\nrate=7\ntime=1\n")
    progress.begin(Activity.START)
    assert [read()[key] for key in ("step", "total", "loss", "doing")] == [
        "31",
        "50",
        "0.25",
        "start",
    ]


def test_a_fenced_attempt_records_nothing(tmp_path):
    """The file is another attempt's by then."""
    progress = Progress(tmp_path / "progress", lambda: True)
    progress.begin(Activity.START)
    progress._written -= 60
    progress.alive()
    assert progress._notes is None
    assert not (tmp_path / "progress").exists()


STUCK = """
import ctypes, os, sys
from pathlib import Path
from clusterrun.training.stopping.requests import dump_stacks_on_request
def stuck():
    while True:
        ctypes.PyDLL(None).pause()  # in C, with the interpreter's lock
dump_stacks_on_request(Path(sys.argv[1]), 3)
print("ready", flush=True)
stuck()
"""


def test_a_rank_that_is_stuck_in_c_dumps_its_stacks(tmp_path):
    """Even while it holds the interpreter's lock, so that no Python runs; it continues unchanged."""
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, tmp_path], stdout=subprocess.PIPE, text=True
    ) as rank:
        assert rank.stdout is not None
        try:
            assert rank.stdout.readline() == "ready\n"
            file = tmp_path / f"stacks-3-{rank.pid}"
            until(
                lambda: rank.send_signal(STACKS_SIGNAL) or "in stuck" in file.read_text(),
                60,
                "it has dumped its stacks",
            )
            assert rank.poll() is None
        finally:
            rank.kill()


def test_a_signal_that_the_script_uses_is_left_to_it(tmp_path):
    """Then there is no file, which would mean that the rank can dump its stacks."""
    code = STUCK.replace(
        "dump_stacks_on_request(Path",
        "import signal; signal.signal(signal.SIGRTMAX - 7, print); dump_stacks_on_request(Path",
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace("\nstuck()", ""), tmp_path], check=True
    )
    assert done.returncode == 0
    assert list(Path(tmp_path).iterdir()) == []


def test_the_signal_is_the_one_that_the_script_sends():
    """bash counts from SIGRTMAX, /proc has bits, and Python numbers."""
    assert STACKS_SIGNAL == 57
    assert (
        subprocess.run(
            ["bash", "-c", "kill -l RTMAX-7"], capture_output=True, text=True, check=True
        ).stdout
        == "57\n"
    )
    assert signal.getsignal(STACKS_SIGNAL) is signal.SIG_DFL
