"""transformers.Trainer in two processes: stopped, resumed, and identical to the bit."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from clusterrun.run_folder.metrics import read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.training import TrainingError
from tests.training_scripts.launches import (
    Ended,
    attempt_of,
    marker,
    start_two,
)
from tests.training_scripts.tiny_runs import BASIC, TINY, checkpoints, history, weights


@dataclass
class Story:
    """One uninterrupted training, and the same one in four attempts."""

    whole: Path
    parts: Path
    ends: list[Ended]


@pytest.fixture(scope="module")
def story(tmp_path_factory, clean) -> Story:
    """Stop twice in the first epoch of nine steps, damage the newest checkpoint, stop during an
    evaluation, and end.
    """
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")

    def attempt(folder: Path, name: str, *flags: object) -> Ended:
        flags = (
            *BASIC,
            "--num_train_epochs",
            3,
            "--output_dir",
            folder / "output",
            "--save_strategy",
            "no",
            *flags,
        )
        flags = (
            *flags,
            "--gradient_accumulation_steps",
            2,
            "--eval_strategy",
            "steps",
            "--eval_steps",
            8,
        )
        environment = (
            clean
            | attempt_of(folder, name, WORLD_SIZE=2, LOSSES=1)
            | {"ACCELERATE_USE_CPU": "true"}
        )
        environment["CLUSTERRUN_STOP_FILE"] += "-{rank}"
        flags = (*flags, "--per_device_eval_batch_size", 1, "--stop_rank", 1)
        return start_two(TINY, *flags, environment=environment, log=folder / f"log-{name}").wait()

    ends = [attempt(whole, "0001")]
    ends += [attempt(parts, "0001", "--stop_at", 1), attempt(parts, "0002", "--stop_at", 4)]
    with (parts / "output" / "checkpoint-5" / "optimizer.pt").open("r+b") as file:
        file.truncate(1000)
    ends += [attempt(parts, "0003", "--stop_in_evaluation_at", 8), attempt(parts, "0004")]
    return Story(whole, parts, ends)


def test_stopped_and_finished_attempts_exit_with_0(story):
    """All processes of every attempt do."""
    assert [end.code for end in story.ends] == [0] * 5, story.ends


def test_all_ranks_stop_at_the_same_step(story):
    """After one rank receives a stop, both save and exit one step later, and at once during an
    evaluation.
    """
    marks = [marker(story.parts, f"{attempt:04d}") for attempt in (1, 2, 3, 4)]
    assert [(mark["outcome"], mark["step"]) for mark in marks] == [
        ("stopped", "2"),
        ("stopped", "5"),
        ("stopped", "8"),
        ("trained", "27"),
    ]
    assert [Path(mark["checkpoint"]).name for mark in marks[:3]] == [
        "checkpoint-2",
        "checkpoint-5",
        "checkpoint-8",
    ]


def test_a_stopped_training_is_identical_to_the_bit(story):
    """Losses, rates, evaluations and the final weights are those of the uninterrupted training."""
    assert len(history(story.whole)) == 27 + 4
    assert history(story.parts) == history(story.whole)
    assert weights(story.parts) == weights(story.whole)


def test_a_corrupt_checkpoint_is_skipped_and_named(story):
    """The attempt after the damage starts from the previous checkpoint, and logs which one and why."""
    assert "checkpoint-5: optimizer.pt has 1000 bytes instead of" in story.ends[3].output
    resumed = read_record(story.parts / "events" / "attempt-0003.resume")
    assert (Path(resumed["checkpoint"]).name, resumed["step"], resumed["state"]) == (
        "checkpoint-2",
        "2",
        "resumed",
    )
    assert checkpoints(story.parts) == ["checkpoint-2", "checkpoint-8", "skipped-checkpoint-5"]


def test_progress_and_saves_are_recorded(story):
    """As for any other training."""
    progress, saves = read_record(story.parts / "progress"), read_record(story.parts / "saves")
    assert (progress["step"], progress["total"]) == ("27", "27")
    assert float(progress["loss"]) == pytest.approx(history(story.parts)[-2]["loss"], rel=1e-4)
    found = [read_metrics(RunPaths(story.parts), f"{attempt:04d}") for attempt in (1, 2, 3, 4)]
    assert [one.points[-1].step for one in found] == [2, 5, 8, 27]
    assert all(
        one.first_step <= one.left and one.points[-1].learning_rate is not None for one in found
    )
    assert (saves["step"], saves["count"]) == ("8", "3")
    assert float(saves["longest"]) >= float(saves["seconds"]) > 0


def test_losses_are_recorded_on_request(story):
    """Each attempt's file has its steps, each with the loss that Trainer logs there, with all
    digits.
    """
    losses = {step["step"]: step["loss"] for step in history(story.whole) if "loss" in step}
    for attempt, steps in ((1, (1, 2)), (2, range(3, 6)), (3, range(3, 9)), (4, range(9, 28))):
        text = (story.parts / "events" / f"attempt-{attempt:04d}.losses").read_text()
        lines = [line for line in map(json.loads, text.splitlines()) if line["loss"] is not None]
        assert [(line["since"], line["step"], line["loss"]) for line in lines] == [
            (step - 1, step, losses[step]) for step in steps
        ]


@pytest.mark.extended
def test_another_number_of_processes_is_refused(story, train, tmp_path):
    """One process may not resume what two have saved; nothing is overwritten, and no attempt
    follows.
    """
    shutil.copytree(story.parts / "output", tmp_path / "output")
    with pytest.raises(TrainingError, match="saved by 2 processes, but this attempt has 1"):
        train("0001")
    assert checkpoints(tmp_path) == checkpoints(story.parts)
    assert marker(tmp_path, "0001")["outcome"] == "no-restart"
