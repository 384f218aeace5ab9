"""Whether a running attempt looks alive, by its training process's last report and its log."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clusterrun.diagnosis.progress_check import judge_progress
from clusterrun.run_folder.attempts import Attempt, list_attempts
from clusterrun.run_folder.paths import RunPaths

BEGAN = 1_800_000_000


@pytest.fixture
def paths(tmp_path) -> RunPaths:
    made = RunPaths(tmp_path)
    made.events.mkdir()
    made.logs.mkdir()
    made.begin("0002").write_text(f"job_id=7\nnodes=n1\nbegan={BEGAN}\n")
    return made


def attempt(paths: RunPaths) -> Attempt:
    (only,) = list_attempts(paths)
    return replace(only, number=2)


def report(paths: RunPaths, reported_at: int, patience: int) -> None:
    paths.progress.write_text(
        f"step=61\ntotal=300\ntime={reported_at}\ndoing=step\npatience={patience}\n"
    )


@pytest.mark.parametrize(("age", "looks"), [(0, True), (900, True), (901, False), (9000, False)])
def test_the_announced_limit_decides(paths, age, looks):
    """An attempt silent for longer than its own announced limit is suspect; before that it is fine."""
    report(paths, BEGAN + 60, 900)
    liveness = judge_progress(paths, attempt(paths), now=BEGAN + 60 + age)
    assert (
        liveness.looks_alive,
        liveness.seconds_since_progress,
        liveness.activity,
        liveness.hang_timeout,
    ) == (looks, age, "step", 900)
    assert liveness.summary.startswith(f"at step 61, last progress {age} s ago")


def test_a_report_of_an_earlier_attempt_does_not_count(paths):
    """The log's age is reported instead, without a verdict."""
    report(paths, BEGAN - 5, 900)
    liveness = judge_progress(paths, attempt(paths), now=BEGAN + 70)
    assert (liveness.looks_alive, liveness.seconds_since_progress) == (None, None)
    assert liveness.summary == "attempt 2 started 70 s ago, and has printed nothing yet"
    paths.log("0002").write_text("importing\n")
    assert (
        "has reported no step yet; its last output is"
        in judge_progress(paths, attempt(paths), now=BEGAN + 70).summary
    )


def test_no_announced_limit(paths):
    """If the training process announces no limit, no verdict is given."""
    report(paths, BEGAN + 60, 0)
    assert judge_progress(paths, attempt(paths), now=BEGAN + 9000).looks_alive is None


@pytest.mark.parametrize(("doing", "words"), [
    ("save", "at step 61 (saving a checkpoint), last"), ("evaluation", "at step 61 (evaluating), last"),
    ("start", "at step 61 (starting, no step done yet), last"), ("new-word", "at step 61, last"),
])  # fmt: skip
def test_the_activity_is_described_in_words(paths, doing, words):
    """The words are those of `status`, never a key of the protocol."""
    report(paths, BEGAN + 60, 900)
    paths.progress.write_text(paths.progress.read_text().replace("doing=step", f"doing={doing}"))
    assert judge_progress(paths, attempt(paths), now=BEGAN + 61).summary.startswith(words)
