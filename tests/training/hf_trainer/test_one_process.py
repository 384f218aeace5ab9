"""transformers.Trainer in one process: its end, its saves and its checkpoints."""

from __future__ import annotations

import resource

import pytest

from clusterrun.run_folder.records import read_record
from clusterrun.training import TrainingError
from clusterrun.training.checkpointing import manifest
from tests.training_scripts.launches import (
    attempt_of,
    marker,
    start,
)
from tests.training_scripts.tiny_runs import BASIC, TINY, checkpoints, history, weights


def test_the_end_is_recorded_when_the_script_has_ended(tmp_path, clean, train):
    """A script that fails after its training may not have finished; the next attempt trains no
    further step.
    """
    flags = ["--max_steps", 9, "--save_steps", 5]
    arguments = [
        *BASIC,
        "--samples",
        44,
        "--num_train_epochs",
        2,
        "--output_dir",
        tmp_path / "output",
        *flags,
    ]
    environment = clean | attempt_of(tmp_path)
    ends = [
        start(
            TINY,
            *arguments,
            *more,
            environment=environment | attempt_of(tmp_path, name),
            log=tmp_path / name,
        ).wait()
        for name, more in (
            ("0001", ["--crash_after_training"]),
            ("0002", ["--exit_after_training", 3]),
            ("0003", []),
        )
    ]
    assert [end.code for end in ends] == [1, 3, 0], ends
    assert marker(tmp_path, "0001") == {}
    left = [marker(tmp_path, name) for name in ("0002", "0003")]  # the exit code differs
    assert [(one["outcome"], one["step"]) for one in left] == [("trained", "9")] * 2
    assert checkpoints(tmp_path) == ["checkpoint-5", "checkpoint-9"]
    whole = tmp_path / "whole"
    train("0001", *flags, folder=whole)
    assert weights(tmp_path) == weights(whole)


def test_early_stopping_is_a_finish(tmp_path, clean):
    """A training that another callback ends is complete."""
    flags = [
        "--patience",
        1,
        "--metric_for_best_model",
        "loss",
        "--eval_strategy",
        "steps",
        "--eval_steps",
        3,
    ]
    flags += ["--learning_rate", 0, "--save_strategy", "no", "--output_dir", tmp_path / "output"]
    environment = clean | attempt_of(tmp_path)
    end = start(TINY, *BASIC, *flags, environment=environment, log=tmp_path / "log").wait()
    assert end.code == 0, end.output
    assert (marker(tmp_path, "0001")["outcome"], marker(tmp_path, "0001")["step"]) == (
        "trained",
        "6",
    )


def test_saves_of_the_spec_and_of_trainer_are_kept_separately(tmp_path, train, capsys):
    """Each kind has its own number to keep, so neither displaces the other; none is asynchronous,
    with a message.
    """
    flags = ["--max_steps", 11, "--save_steps", 4, "--save_total_limit", 1]
    trainer = train(
        "0001", *flags, CHECKPOINT_EVERY="3 steps", CHECKPOINT_KEEP=2, CHECKPOINT_ASYNC_SAVE="true"
    )
    assert "saving synchronously: Trainer writes its own checkpoints" in capsys.readouterr().err
    assert checkpoints(tmp_path) == ["checkpoint-6", "checkpoint-9", "checkpoint-11"]
    assert read_record(tmp_path / "saves")["count"] == "6"
    assert trainer.args.save_total_limit == 1


def test_a_checkpoint_without_optimizer_is_not_resumed(tmp_path, train, capsys):
    """With save_only_model a stop still saves what a resume needs; Trainer's own checkpoints are
    skipped.
    """
    flags = ["--save_only_model", "--max_steps", 8, "--save_steps", 4]
    with pytest.raises(SystemExit):
        train("0001", *flags, "--stop_at", 3)
    train("0002", *flags)
    train("0003", *flags)
    steps = [
        read_record(tmp_path / "events" / f"attempt-{name}.resume")["step"]
        for name in ("0002", "0003")
    ]
    assert steps == ["3", "3"]
    assert (tmp_path / "output" / "checkpoint-3" / "optimizer.pt").exists()
    assert "checkpoint-8: it has only the model" in capsys.readouterr().err


def test_training_continues_when_no_checkpoint_can_be_saved(tmp_path, train, capsys):
    """A failed save is reported, leaves nothing behind, and changes nothing else."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (30_000, before[1])
    )  # between the model's size and the optimizer's
    try:
        train("0001", "--max_steps", 6, "--save_strategy", "no", CHECKPOINT_EVERY="4 steps")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "warning: step 4 could not be saved" in capsys.readouterr().err
    assert "failed" in read_record(tmp_path / "saves")
    assert checkpoints(tmp_path) == []


def test_a_fenced_attempt_writes_nothing(tmp_path, train):
    """When a later attempt has taken over, the next save is refused, and the process exits with 1."""
    with pytest.raises(SystemExit) as left:
        train("0001", "--fence_at", 3, CHECKPOINT_EVERY="2 steps")
    assert left.value.code == 1
    assert checkpoints(tmp_path) == ["checkpoint-2"]
    assert marker(tmp_path, "0001") == {}


def test_an_accumulation_that_trainer_ignores_is_refused(train, monkeypatch):
    """Trainer ignores the job's accumulation, so its own must be the same."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(
        TrainingError, match="accumulates gradients over 1 batches, but ACCELERATE_GRAD"
    ):
        train("0001")


def test_trainers_own_stop_at_a_signal_is_disabled(train):
    """With enable_jit_checkpoint a signal would end the training as if it were complete."""
    trainer = train("0001", "--enable_jit_checkpoint", "--max_steps", 1)
    assert "JITCheckpointCallback" not in trainer.callback_handler.callback_list


def test_a_loader_whose_order_cannot_be_restored_is_named(train, capsys):
    """Training from a stream causes a warning; Trainer's own sampler does not."""
    train("0001", "--max_steps", 1)
    assert "order of DataLoader" not in capsys.readouterr().err
    train("0001", "--max_steps", 2, "--stream")
    assert (
        "the order of DataLoader 1 of 1 (Stream, unknown length) cannot be restored"
        in capsys.readouterr().err
    )


def test_a_named_checkpoint_is_used_by_the_first_attempt_only(tmp_path, train):
    """The first attempt resumes from it; the next one resumes from what the first has saved since."""
    train("0001", "--max_steps", 6, "--save_steps", 2)
    back = ["--max_steps", 7, "--save_steps", 3, "--resume", tmp_path / "output" / "checkpoint-2"]
    with pytest.raises(SystemExit):
        train("0001", *back, "--stop_at", 5)
    assert [line["step"] for line in history(tmp_path, "output/checkpoint-5")] == [1, 2, 3, 4, 5]
    assert checkpoints(tmp_path)[-2:] == ["skipped-checkpoint-4", "skipped-checkpoint-6"]
    train("0002", *back)
    assert read_record(tmp_path / "events" / "attempt-0002.resume")["step"] == "5"


def test_a_named_checkpoint_must_be_complete(tmp_path, train):
    """A corrupt one is refused with the reason, not silently replaced."""
    train("0001", "--max_steps", 2, "--save_steps", 2)
    named = tmp_path / "output" / "checkpoint-2"
    (named / "scheduler.pt").unlink()
    with pytest.raises(TrainingError, match=r"checkpoint-2, but scheduler.pt is missing"):
        train("0001", "--resume", named)


def test_without_clusterrun_it_resumes_and_seals_checkpoints(tmp_path, train):
    """The same line in a script that is run by hand resumes from the newest checkpoint, and writes
    no records.
    """
    train(None, "--max_steps", 5, "--save_steps", 2)
    assert manifest.find_damage(tmp_path / "output" / "checkpoint-5") is None
    (tmp_path / "output" / "checkpoint-5" / "trainer_state.json").write_text("{}")
    trainer = train(None, "--max_steps", 6, "--save_steps", 2, "--logging_steps", 1)
    assert trainer.state.global_step == 6
    assert [line["step"] for line in history(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert not (tmp_path / "output" / "events").exists()
