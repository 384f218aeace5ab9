"""The last and best values of metrics, over attempts, and as readers see them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.metric_values import MOST_METRICS, MetricLog, MetricValues, parse_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record, write_record
from clusterrun.run_status.file_status import RunStatus, status_from_files
from clusterrun.training.records.history import History
from clusterrun.training.records.progress import Progress


def test_the_first_best_value_counts_and_values_that_are_not_finite_do_not() -> None:
    log = MetricLog()
    for step, value in enumerate([2.0, 1.0, math.nan, 3.0, 1.0, -math.inf, 2.5]):
        log.add("eval_loss", step, value)
    assert log.values == {"eval_loss": MetricValues(2.5, 6, 1.0, 1, 3.0, 3)}
    assert log.values["eval_loss"].best("min") == (1.0, 1)
    assert log.values["eval_loss"].best("max") == (3.0, 3)


@pytest.mark.parametrize("name", ["a=b", "two words", "", "x" * 101, "line\nbreak"])
def test_names_that_a_record_cannot_have_are_ignored(name: str) -> None:
    log = MetricLog()
    log.add(name, 1, 1.0)
    assert log.values == {}


def test_names_are_limited() -> None:
    log = MetricLog()
    for number in range(MOST_METRICS + 10):
        log.add(f"m{number}", 1, 1.0)
    assert len(log.values) == MOST_METRICS


@pytest.mark.parametrize(
    "text", ["", "1 2 3", "nan 1 1 1 1 1", "1 x 1 1 1 1", "1 1 1 1 1 1 1 1", "1 1 inf 1 1 1"]
)
def test_a_corrupt_value_is_ignored(text: str) -> None:
    assert parse_metrics({"metric.f1": text, "metric.ok": "1 2 0.5 1 3 4"}) == {
        "ok": MetricValues(1.0, 2, 0.5, 1, 3.0, 4)
    }


def test_a_later_attempt_continues_the_values(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / "tiny-1")
    paths.events.mkdir(parents=True)
    for attempt, values in enumerate([{3: 0.5, 6: 0.2}, {9: 0.3}], start=1):
        progress = Progress(paths.progress)
        for step, value in values.items():
            progress.update(step, 10, value * 10, 1)
            progress.note_metrics(step, {"eval/loss": value})
            progress.write()
        assert read_record(paths.progress)["step"] == str(max(values)), attempt
    found = status_from_files(RunRef("tiny-1", paths, "7"))
    assert found.metrics["eval/loss"] == MetricValues(0.3, 9, 0.2, 6, 0.5, 3)
    assert found.metrics["loss"] == MetricValues(3.0, 9, 2.0, 6, 5.0, 3)
    again = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert RunStatus.from_dict(again) == found
    del again["metrics"]  # the summary of a run that an earlier version recorded
    assert RunStatus.from_dict(again).metrics == {}


def test_metrics_before_the_first_step_and_after_training_are_written(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    write_record(paths.progress, {"step": 4, "total": 8})
    progress = Progress(paths.progress)
    progress.note_metrics(4, {"f1": 0.5})
    progress.write()
    record = read_record(paths.progress)
    assert parse_metrics(record)["f1"].last == 0.5


def test_the_history_has_the_last_values(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    progress = Progress(paths.progress, history=History(paths.metrics("0001"), paths.times("0001")))
    progress.update(1, 2, 0.5, 1)
    progress.note_metrics(1, {"eval_loss": 0.75})
    progress.write()
    line = json.loads(paths.metrics("0001").read_text().splitlines()[-1])
    assert (line["step"], line["metrics"]) == (1, {"eval_loss": 0.75})


def test_nothing_is_written_without_a_path() -> None:
    Progress(None).note_metrics(1, {"f1": 1.0})
