"""The training metrics that an attempt records over time, and how they are read."""

from __future__ import annotations

import itertools
import json
import os
import stat
import time
from pathlib import Path

import pytest

from clusterrun.run_folder.metrics import Metrics, read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.training.checkpointing.interval import SaveSchedule, parse_interval
from clusterrun.training.records.history import History, finite_or_none, learning_rate, open_history
from clusterrun.training.records.progress import Progress
from clusterrun.training.stopping.patience import Activity


def line(moment: float, step: int, **more: object) -> dict[str, object]:
    values = {"loss": 1 / (step + 1), "learning_rate": 0.1, "rate": 8.0, "saving": 0.0, **more}
    return {"time": float(moment), "step": step, **values}


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


def history(paths: RunPaths, most: int = 2000) -> History:
    return History(paths.metrics("0001"), paths.times("0001"), most)


@pytest.mark.parametrize("count", [1, 19, 20, 21, 500, 5000])
def test_a_file_never_grows_beyond_its_bound(paths, count):
    """However long a run is, the file's lines are limited, evenly spread, from first to newest."""
    recorded = history(paths, most=20)
    for second in range(count):
        recorded.add(line(1000 + second, second))
        assert len(paths.metrics("0001").read_text().splitlines()) <= 20
    points = read_metrics(paths, "0001").points
    assert (points[0].step, points[-1].step) == (0, count - 1)
    assert len(points) >= min(count, 10)
    gaps = {after.step - before.step for before, after in itertools.pairwise(points[:-1])}
    assert len(gaps) <= 1


def test_the_last_line_is_the_newest_moment(paths):
    """Samples that come faster than the interval replace each other."""
    recorded = history(paths)
    for tenth in range(1, 26):
        recorded.add(line(1000 + tenth / 10, tenth))
    assert [point.step for point in read_metrics(paths, "0001").points] == [1, 11, 21, 25]


def test_only_the_owner_may_read_metrics(paths):
    """The folder and the files are readable by their owner only, for any umask."""
    before = os.umask(0)
    try:
        recorded = history(paths)
        recorded.write_times({"first_step": 3.0})
        recorded.add(line(1000, 1))
    finally:
        os.umask(before)
    files = [paths.metrics("0001"), paths.times("0001")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in [files[0].parent, *files]] == [
        0o700,
        0o600,
        0o600,
    ]
    assert sorted(files[0].parent.iterdir()) == sorted(files)


def test_a_line_refused_by_a_full_disk_is_written_with_the_next(paths, monkeypatch):
    """A line that could not be written leaves no gap."""
    recorded = history(paths)
    recorded.add(line(1000, 1))
    write = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        recorded.add(line(1001, 2))
    monkeypatch.setattr(os, "pwrite", write)
    recorded.add(line(1002, 3))
    assert [point.step for point in read_metrics(paths, "0001").points] == [1, 3]


def test_partial_lines_and_missing_files_are_skipped(paths):
    """A reader may come during a write; a script that reports nothing has no metrics."""
    assert read_metrics(paths, "0001") == Metrics()
    path = paths.metrics("0001")
    path.parent.mkdir()
    lines = [json.dumps(line(1000, 1)), "\0\0\0", "[]", "7", '{"time": "x", "step": 2}', '{"time": 1e999, "step": 2}',
             json.dumps(line(1001, 5, loss=float("nan"), rate=None, learning_rate="fast")),
             json.dumps(line(900, 6)), json.dumps(line(1002, 7))[:-9]]  # fmt: skip
    path.write_text("\n".join(lines))
    first, second = read_metrics(paths, "0001").points
    assert (first.step, first.loss, first.rate) == (1, 0.5, 8.0)
    assert (second.step, second.loss, second.rate, second.learning_rate) == (5, None, None, None)
    paths.times("0001").write_text("first_step=12.5\nsaving=nonsense\nsaves=\nle")
    assert read_metrics(paths, "0001").first_step == 12.5
    assert read_metrics(paths, "0001").saving == 0.0


def test_the_history_of_a_training(paths):
    """First step, stalls and exit time are exact, although lines are written once a second."""
    progress = Progress(
        paths.progress, lambda: False, history(paths), lambda step: {"learning_rate": step / 10}
    )
    paths.progress.write_text("step=31\ntotal=50\nloss=0.25\nrate=7\ntime=1\n")
    started = time.time()
    progress.begin(Activity.START)
    progress._notes.join()
    assert read_metrics(paths, "0001") == Metrics()  # the step it shows is an earlier attempt's
    progress.update(31, 50, 0.5, 8)
    for _ in range(2):
        with progress.during(Activity.SAVE):
            time.sleep(0.05)
    progress.update(32, 50, 0.25, 8)
    progress.begin(Activity.END)
    progress.write()
    metrics = read_metrics(paths, "0001")
    assert (metrics.saves, metrics.saving >= 0.1) == (2, True)
    assert (
        started - 0.01
        <= metrics.first_step
        <= metrics.points[0].time
        <= metrics.points[-1].time
        <= metrics.left + 0.01
    )
    last = metrics.points[-1]
    assert (last.step, last.loss, last.learning_rate) == (32, 0.25, 3.2)
    assert last.saving == pytest.approx(metrics.saving, abs=0.001)
    assert read_record(paths.progress)["learning_rate"] == "3.2"


def test_a_history_that_cannot_be_written_ends_no_training(paths):
    """If a file is in the folder's place, the progress is still written."""
    (paths.folder / "metrics").write_text("in the way")
    progress = Progress(paths.progress, lambda: False, history(paths))
    progress.update(1, 2, 0.5, None)
    progress.write()
    assert read_record(paths.progress)["step"] == "1"


def test_a_fenced_attempt_writes_none(paths):
    """Its saves and heartbeats are not recorded."""
    progress = Progress(paths.progress, lambda: True, history(paths))
    with progress.during(Activity.SAVE):
        pass
    assert list(paths.folder.iterdir()) == []


def test_only_the_main_process_under_clusterrun_writes():
    """The other ranks, and a script without clusterrun, write nothing."""
    assert open_history(None, main=True) is None


class Optimizer:
    def __init__(self, rate: object) -> None:
        self.param_groups = [{"lr": rate}]


class Accelerator:
    def __init__(self, *rates: object) -> None:
        self._optimizers = [Optimizer(rate) for rate in rates]


def test_the_learning_rate():
    """It is the first optimizer's; none, or one that is not a number, causes no error."""
    assert learning_rate(Accelerator(0.5, 0.1)) == 0.5
    assert [learning_rate(one) for one in (Accelerator(), Accelerator("warm"), object(), None)] == [
        None
    ] * 4
    assert [finite_or_none(value) for value in (None, float("nan"), float("inf"), 2)] == [
        None,
        None,
        None,
        2.0,
    ]


def test_when_the_next_checkpoint_is_due():
    """By steps it is the next multiple; by time it follows the last save; `auto` decides first."""
    clock = lambda: 100.0  # noqa: E731
    assert SaveSchedule(parse_interval("20 steps"), lambda: 1.0, clock).next_save(40) == {
        "save_at_step": 60
    }
    at = SaveSchedule(parse_interval("10min"), lambda: 1.0, clock).next_save(40)["save_at"]
    assert abs(at - time.time() - 600) < 5
    auto = SaveSchedule(parse_interval("auto"), lambda: 30.0, clock)
    assert auto.next_save(1) == {}
    auto.time_is_up()
    assert "save_at" in auto.next_save(1)
    assert SaveSchedule(None, lambda: 1.0, clock).next_save(1) == {}
