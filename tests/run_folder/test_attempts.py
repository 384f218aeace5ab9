"""The result of each attempt, derived from the files that it left."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.run_folder.attempts import Attempt, describe_end, list_attempts
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record


class Story:
    """A run folder that is written attempt by attempt."""

    def __init__(self, folder: Path) -> None:
        self.paths = RunPaths(folder)
        self.paths.events.mkdir(parents=True)
        self.count = 0

    def attempt(self, resumed: int | None, **end: object) -> None:
        """Start an attempt, and end it as `end` describes; `resumed` is its first step."""
        self.count += 1
        name = f"{self.count:04d}"
        write_record(
            self.paths.begin(name), {"job_id": 7, "nodes": "n[1-2]", "began": 1000 * self.count}
        )
        if resumed is not None:
            checkpoint = f"step-{resumed:08d}-0001" if resumed else ""
            write_record(
                self.paths.resumed(name),
                {"checkpoint": checkpoint, "step": resumed, "state": "resumed"},
            )
        if end:
            write_record(self.paths.end(name), {"ended": 1000 * self.count + 90, **end})

    def attempts(self) -> list[Attempt]:
        return list_attempts(self.paths)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "run")


def lost(story: Story) -> list[int | None]:
    return [attempt.steps_lost for attempt in story.attempts()]


def test_a_run_that_has_not_started(story: Story) -> None:
    """There are no attempts before the first."""
    assert story.attempts() == []


def test_all_that_is_known_of_an_attempt(story: Story) -> None:
    """Every field comes from the attempt's own records."""
    story.attempt(0, cause="preemption", next="continue", exit_code=0, step=12)
    story.attempt(12, cause="finished", next="end", exit_code=0, step=40)
    assert story.attempts()[1] == Attempt(
        number=2, job_id="7", nodes="n[1-2]", started_at=2000, ended_at=2090, seconds=90, cause="finished", summary="finished",
        resumed_from_step=12, last_step=40, steps_lost=0, checkpoint="step-00000012-0001", exit_code=0, decision="end",
    )  # fmt: skip


def test_steps_lost_are_those_that_a_later_attempt_trains_again(story: Story) -> None:
    """A crash loses unsaved steps, a stop none; without a resume record they are unknown."""
    story.attempt(0, cause="crash", next="continue", exit_code=1, step=57)
    story.attempt(None, cause="failed-start", next="end", exit_code=1, step=57)
    story.attempt(50, cause="stop", next="end", exit_code=0, step=80)
    story.attempt(80, cause="preemption", next="continue", exit_code=0, step=100)
    assert lost(story) == [7, None, 0, None]
    assert [attempt.last_step for attempt in story.attempts()] == [57, None, 80, 100]


def test_steps_lost_are_never_negative(story: Story) -> None:
    """`progress` may be a second old, and show an earlier step than the checkpoint's."""
    story.attempt(0, cause="preemption", next="continue", exit_code=0, step=57)
    story.attempt(60)
    assert lost(story) == [0, None]


def test_the_step_of_an_orderly_exit(story: Story) -> None:
    """After an orderly exit the marker has the step, whatever `progress` showed last."""
    story.attempt(0, cause="preemption", next="continue", exit_code=0, step=55)
    write_record(story.paths.trainer("0001"), {"outcome": "stopped", "step": 57})
    story.attempt(57)
    assert [(attempt.last_step, attempt.steps_lost) for attempt in story.attempts()] == [
        (57, 0),
        (57, None),
    ]


def test_an_attempt_without_an_end_record(story: Story) -> None:
    """If another attempt followed, it is a node failure without details."""
    story.attempt(0)
    story.attempt(20)
    first, second = story.attempts()
    assert (first.cause, first.summary) == (
        "node-failure",
        "node failure (no end record)",
    )
    assert (first.last_step, first.steps_lost, first.seconds) == (None, None, None)
    assert (second.cause, second.summary, second.ended_at) == ("", "", None)


def test_an_end_that_the_next_attempt_wrote(story: Story) -> None:
    """It has the step of `progress`, so lost steps are known; the duration is not."""
    story.attempt(
        0,
        cause="node-failure",
        next="continue",
        reason="it was killed before it could record its end",
        step=33,
    )
    story.attempt(20)
    (first, _) = story.attempts()
    assert first.summary == "node failure: it was killed before it could record its end"
    assert (first.last_step, first.steps_lost, first.ended_at, first.seconds) == (
        33,
        13,
        None,
        None,
    )


def test_the_running_attempt(story: Story) -> None:
    """It has reached the step of `progress`; before its first step, the one it resumed from."""
    story.attempt(20)
    assert story.attempts()[0].last_step == 20
    write_record(story.paths.progress, {"step": 31})
    assert story.attempts()[0].last_step == 31


def test_a_resume_in_progress(story: Story) -> None:
    """While it loads, its first step is unknown."""
    story.attempt(0, cause="crash", next="continue", exit_code=1, step=57)
    story.attempt(None)
    write_record(
        story.paths.resumed("0002"),
        {"checkpoint": "step-00000050-0001", "step": 50, "state": "loading"},
    )
    assert lost(story) == [None, None]
    assert (story.attempts()[1].checkpoint, story.attempts()[1].resumed_from_step) == (
        "step-00000050-0001",
        None,
    )


def test_a_script_that_reports_no_steps(story: Story) -> None:
    """The job script records its checkpoint without a step; steps are unknown, not invented."""
    story.attempt(None, cause="crash", next="continue", exit_code=1, step="")
    write_record(
        story.paths.resumed("0001"), {"checkpoint": "out/model-3", "step": "", "state": "resumed"}
    )
    (attempts,) = story.attempts()
    assert (
        attempts.checkpoint,
        attempts.resumed_from_step,
        attempts.last_step,
        attempts.steps_lost,
    ) == (
        "out/model-3",
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ({"cause": "crash", "exit_code": "7"}, "crashed with exit code 7"),
        (
            {"cause": "no-restart", "reason": "the data is gone"},
            "must not be restarted: the data is gone",
        ),
        ({"cause": "time-limit", "reason": ""}, "time limit"),
        ({"cause": "something-new"}, "something-new"),
        ({}, ""),
    ],
)
def test_causes_in_words(end: dict[str, str], words: str) -> None:
    """Record values are shown in words, with the reason if there is one."""
    assert describe_end(end) == words
