"""Stops around an evaluation change neither the history nor the best model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training_scripts.launches import (
    marker,
)
from tests.training_scripts.tiny_runs import checkpoints, history, weights


def test_a_stop_at_the_end_of_an_epoch_loses_no_evaluation(tmp_path, train):
    """With strategies by epoch, stops at and around an epoch's end change neither the history nor
    the best model.
    """
    flags = [
        "--eval_strategy",
        "epoch",
        "--save_strategy",
        "epoch",
        "--load_best_model_at_end",
        "--num_train_epochs",
        3,
    ]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train("0001", *flags, folder=whole)
    for attempt, step in (("0001", 21), ("0002", 22), ("0003", 44)):
        with pytest.raises(SystemExit) as left:
            train(attempt, *flags, "--stop_at", step, folder=parts)
        assert (left.value.code, marker(parts, attempt)["step"]) == (0, str(step))
    train("0004", *flags, folder=parts)
    assert history(parts) == history(whole)
    assert weights(parts) == weights(whole)


def test_the_best_model_may_be_found_by_a_repeated_evaluation(tmp_path, train):
    """A stop during the last evaluation, which finds the best model, does not change that model."""
    flags = ["--eval_strategy", "epoch", "--save_strategy", "epoch", "--load_best_model_at_end"]
    flags += ["--save_total_limit", 1]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    best = train("0001", *flags, folder=whole).state.best_model_checkpoint
    with pytest.raises(SystemExit):
        train("0001", *flags, "--stop_in_evaluation_at", 44, folder=parts)
    found = train("0002", *flags, folder=parts).state.best_model_checkpoint
    assert Path(found).name == Path(best).name == "checkpoint-44"
    assert weights(parts) == weights(whole)


def test_the_best_model_is_not_pruned_by_later_saves(tmp_path, train):
    """A repeated evaluation finds the best model, which the following saves keep."""
    flags = [
        "--eval_strategy",
        "steps",
        "--eval_steps",
        3,
        "--save_strategy",
        "best",
        "--metric_for_best_model",
        "loss",
    ]
    flags += ["--greater_is_better", "False", "--max_steps", 5]
    with pytest.raises(SystemExit):
        train("0001", *flags, "--stop_in_evaluation_at", 3)
    trainer = train("0002", *flags, CHECKPOINT_EVERY="1 step", CHECKPOINT_KEEP=1)
    assert Path(trainer.state.best_model_checkpoint).name == "checkpoint-3"
    assert checkpoints(tmp_path) == ["checkpoint-3", "checkpoint-4"]
