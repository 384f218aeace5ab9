"""Several trainings in one script are separate, or refused; the run's steps include all of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

from clusterrun.run_folder.records import read_record
from clusterrun.training import TrainingError
from clusterrun.training.trainer import resumable
from tests.training.hf_trainer.conftest import Train
from tests.training_scripts.launches import attempt_of, marker

Again = Callable[..., Any]


def again(trainer: Any, output_dir: Path, **options: Any) -> Any:
    """Make another Trainer in the same script."""
    args = TrainingArguments(
        output_dir=str(output_dir), report_to="none", disable_tqdm=True, use_cpu=True, max_steps=6,
        save_steps=4, per_device_train_batch_size=2, logging_steps=1, **options,
    )  # fmt: skip
    return resumable(
        type(trainer)(
            model=trainer.model,
            args=args,
            train_dataset=trainer.train_dataset,
            data_collator=trainer.data_collator,
        )
    )


def enter(monkeypatch: pytest.MonkeyPatch, folder: Path, attempt: str) -> None:
    for name, value in attempt_of(folder, attempt).items():
        monkeypatch.setenv(name, value)


def test_each_output_dir_is_a_training_of_its_own(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one starts at its own step 0, is stopped, and resumes there; the steps of the run
    count on, so that no attempt seems to be without progress.
    """
    first = train("0001", "--max_steps", 9, "--save_steps", 9)
    enter(monkeypatch, tmp_path, "0001")
    second = again(first, tmp_path / "second")
    Path(os.environ["CLUSTERRUN_STOP_FILE"]).touch()
    with pytest.raises(SystemExit):
        second.train()
    stopped = second.state.global_step
    assert 0 < stopped < 6
    assert marker(tmp_path, "0001")["step"] == str(9 + stopped)
    assert read_record(tmp_path / "progress")["step"] == str(9 + stopped)
    assert read_record(tmp_path / "progress")["total"] == "15"

    first = train("0002", "--max_steps", 9, "--save_steps", 9)
    assert first.state.global_step == 9
    assert read_record(tmp_path / "events" / "attempt-0002.resume")["step"] == "9"
    enter(monkeypatch, tmp_path, "0002")
    second = again(first, tmp_path / "second")
    second.train()
    resume = read_record(tmp_path / "events" / "attempt-0002.resume")
    assert resume["checkpoint"].endswith(f"second/checkpoint-{stopped}")
    assert resume["step"] == str(9 + stopped)
    assert read_record(tmp_path / "progress")["step"] == "15"


@pytest.mark.parametrize("same_object", [True, False])
def test_a_second_training_in_one_output_dir_is_refused(
    tmp_path: Path, train: Train, monkeypatch: pytest.MonkeyPatch, same_object: bool
) -> None:
    """It would load the last checkpoint of the first one and train nothing; unless it says that it
    continues that one.
    """
    first = train("0001", "--max_steps", 3, "--save_steps", 3)
    enter(monkeypatch, tmp_path, "0001")
    second = first if same_object else again(first, tmp_path / "output")
    with pytest.raises(TrainingError, match="train nothing") as error:
        second.train()
    assert "output_dir of its own" in str(error.value.hint)
    assert marker(tmp_path, "0001")["outcome"] == "no-restart"
    second.args.max_steps = 6
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step == 6
    assert read_record(tmp_path / "progress")["step"] == "6"
