"""Whether an attempt that runs looks alive, from what its trainer and its log last said."""

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


def tell(paths: RunPaths, told: int, patience: int) -> None:
    paths.progress.write_text(f"step=61\ntotal=300\ntime={told}\ndoing=step\npatience={patience}\n")


@pytest.mark.parametrize(("age", "looks"), [(0, True), (900, True), (901, False), (9000, False)])
def test_the_trainers_own_patience_is_the_measure(paths, age, looks):
    """Silent for longer than it said that it may be is no good sign; before that nothing is wrong."""
    tell(paths, BEGAN + 60, 900)
    found = judge_progress(paths, attempt(paths), now=BEGAN + 60 + age)
    assert (
        found.looks_alive,
        found.seconds_since_progress,
        found.activity,
        found.hang_timeout,
    ) == (looks, age, "step", 900)
    assert found.summary.startswith(f"at step 61 (step), last progress {age} s ago")


def test_the_word_of_an_earlier_attempt_is_no_sign_of_life(paths):
    """The log's age is told in its place, and no verdict is given."""
    tell(paths, BEGAN - 5, 900)
    found = judge_progress(paths, attempt(paths), now=BEGAN + 70)
    assert (found.looks_alive, found.seconds_since_progress) == (None, None)
    assert found.summary == "attempt 2 started 70 s ago, and has printed nothing yet"
    paths.log("0002").write_text("importing\n")
    assert (
        "has reported no step yet; its last output is"
        in judge_progress(paths, attempt(paths), now=BEGAN + 70).summary
    )


def test_a_trainer_without_a_patience(paths):
    """Where it cannot say how long it may be silent, nobody judges."""
    tell(paths, BEGAN + 60, 0)
    assert judge_progress(paths, attempt(paths), now=BEGAN + 9000).looks_alive is None
