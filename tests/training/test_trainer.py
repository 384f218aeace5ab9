"""transformers.Trainer with one line of clusterrun: stopped, resumed, and the same to the bit."""

from __future__ import annotations

import atexit
import json
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clusterrun.run_folder.metrics import read_metrics
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.training import TrainingError
from clusterrun.training.checkpointing import manifest
from tests.training_scripts.launches import (
    Ended,
    attempt_of,
    clean_environment,
    marker,
    start,
    start_two,
)

TINY = Path(__file__).parents[1] / "training_scripts" / "train_tiny.py"
BASIC = [
    "--use_cpu",
    "--per_device_train_batch_size",
    "2",
    "--learning_rate",
    "1e-2",
    "--logging_steps",
    "1",
]
LOGGED = {"step", "epoch", "loss", "learning_rate", "grad_norm", "eval_loss"}

Train = Callable[..., Any]


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf"))


@pytest.fixture
def train(tmp_path, monkeypatch) -> Iterator[Train]:
    """Train in this process, as the attempt of a run; an attempt of None: without clusterrun."""
    import torch

    from tests.training_scripts import train_tiny

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes that are launched, to compare bits

    def run(
        attempt: str | None, *flags: object, folder: Path = tmp_path, **protocol: object
    ) -> Any:
        words = [
            *BASIC,
            "--samples",
            "44",
            "--num_train_epochs",
            "2",
            "--output_dir",
            folder / "output",
            *flags,
        ]
        monkeypatch.setattr("sys.argv", ["train_tiny.py", *map(str, words)])
        with monkeypatch.context() as patch:
            for name, value in (attempt_of(folder, attempt, **protocol) if attempt else {}).items():
                patch.setenv(name, value)
            return train_tiny.main()

    yield run
    torch.set_num_threads(threads)
    from clusterrun.training.hf_trainer.session import mark_trained

    atexit.unregister(mark_trained)


def history(folder: Path, place: str = "output") -> list[dict[str, float]]:
    logged = json.loads((folder / place / "trainer_state.json").read_text())["log_history"]
    return [
        {key: line[key] for key in LOGGED & line.keys()}
        for line in logged
        if "train_runtime" not in line
    ]


def weights(folder: Path) -> bytes:
    return (folder / "output" / "final" / "model.safetensors").read_bytes()


def checkpoints(folder: Path) -> list[str]:
    return sorted(
        (path.name for path in (folder / "output").glob("*checkpoint-*")),
        key=lambda name: (len(name), name),
    )


# Two processes of `accelerate launch`.


@dataclass
class Story:
    """One training that ran through, and the same one in four attempts."""

    whole: Path
    parts: Path
    ends: list[Ended]


@pytest.fixture(scope="module")
def story(tmp_path_factory, clean) -> Story:
    """Stop twice in the first epoch of nine steps, damage the newest checkpoint, stop amid an evaluation, and end."""
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


def test_a_stop_and_an_end_leave_with_zero(story):
    """All processes of every attempt exit with 0, stopped or finished."""
    assert [end.code for end in story.ends] == [0] * 5, story.ends


def test_the_ranks_stop_at_one_step(story):
    """What one rank hears makes both save and leave one step later, amid an evaluation at once."""
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


def test_stopped_training_is_the_same_to_the_bit(story):
    """Losses, rates, evaluations and the final weights are those of the training that ran through."""
    assert len(history(story.whole)) == 27 + 4
    assert history(story.parts) == history(story.whole)
    assert weights(story.parts) == weights(story.whole)


def test_a_damaged_checkpoint_is_passed_over_and_named(story):
    """The attempt after the damage begins at the one before, and says which it took and why."""
    assert "checkpoint-5: optimizer.pt has 1000 bytes instead of" in story.ends[3].output
    resumed = read_record(story.parts / "events" / "attempt-0003.resume")
    assert (Path(resumed["checkpoint"]).name, resumed["step"], resumed["state"]) == (
        "checkpoint-2",
        "2",
        "resumed",
    )
    assert checkpoints(story.parts) == ["checkpoint-2", "checkpoint-8", "skipped-checkpoint-5"]


def test_those_who_watch_see_the_last_step_and_save(story):
    """The progress and saves records are written as for any other training."""
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


def test_every_loss_is_written_down_where_it_is_asked_for(story):
    """Each attempt's file has its steps, each with the loss that Trainer logs there, all digits of it."""
    losses = {step["step"]: step["loss"] for step in history(story.whole) if "loss" in step}
    for attempt, steps in ((1, (1, 2)), (2, range(3, 6)), (3, range(3, 9)), (4, range(9, 28))):
        text = (story.parts / "events" / f"attempt-{attempt:04d}.losses").read_text()
        lines = [line for line in map(json.loads, text.splitlines()) if line["loss"] is not None]
        assert [(line["since"], line["step"], line["loss"]) for line in lines] == [
            (step - 1, step, losses[step]) for step in steps
        ]


@pytest.mark.extended
def test_another_number_of_processes_is_refused(story, train, tmp_path):
    """One process may not resume what two have saved; nothing is overwritten, and no attempt follows."""
    shutil.copytree(story.parts / "output", tmp_path / "output")
    with pytest.raises(TrainingError, match="saved by 2 processes, but this attempt has 1"):
        train("0001")
    assert checkpoints(tmp_path) == checkpoints(story.parts)
    assert marker(tmp_path, "0001")["outcome"] == "no-restart"


# One process.


def test_the_end_is_marked_when_the_script_has_ended(tmp_path, clean, train):
    """A script that fails after its training has not finished for certain; the next attempt trains no step more."""
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
    left = [marker(tmp_path, name) for name in ("0002", "0003")]  # the exit code tells them apart
    assert [(one["outcome"], one["step"]) for one in left] == [("trained", "9")] * 2
    assert checkpoints(tmp_path) == ["checkpoint-5", "checkpoint-9"]
    whole = tmp_path / "whole"
    train("0001", *flags, folder=whole)
    assert weights(tmp_path) == weights(whole)


def test_early_stopping_is_a_finish(tmp_path, clean):
    """When another callback ends the training, it is complete."""
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


def test_a_stop_at_the_end_of_an_epoch_forgets_no_evaluation(tmp_path, train):
    """With strategies by epoch, stops at and around an epoch's end leave history and best model as they would be."""
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


def test_the_best_model_may_be_that_of_an_evaluation_that_is_repeated(tmp_path, train):
    """A stop amid the last evaluation, which finds the best model, ends with that model all the same."""
    flags = ["--eval_strategy", "epoch", "--save_strategy", "epoch", "--load_best_model_at_end"]
    flags += ["--save_total_limit", 1]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    best = train("0001", *flags, folder=whole).state.best_model_checkpoint
    with pytest.raises(SystemExit):
        train("0001", *flags, "--stop_in_evaluation_at", 44, folder=parts)
    found = train("0002", *flags, folder=parts).state.best_model_checkpoint
    assert Path(found).name == Path(best).name == "checkpoint-44"
    assert weights(parts) == weights(whole)


def test_the_best_model_is_kept_though_clusterrun_asked_for_it(tmp_path, train):
    """What an evaluation that is repeated finds to be the best is not pruned by the saves that follow."""
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


def test_saves_of_the_spec_stand_beside_trainers_own(tmp_path, train, capsys):
    """Each kind is kept in its own number, so neither pushes the other out; none is asynchronous, and it says so."""
    flags = ["--max_steps", 11, "--save_steps", 4, "--save_total_limit", 1]
    trainer = train(
        "0001", *flags, CHECKPOINT_EVERY="3 steps", CHECKPOINT_KEEP=2, CHECKPOINT_ASYNC_SAVE="true"
    )
    assert "saving synchronously: Trainer writes its own checkpoints" in capsys.readouterr().err
    assert checkpoints(tmp_path) == ["checkpoint-6", "checkpoint-9", "checkpoint-11"]
    assert read_record(tmp_path / "saves")["count"] == "6"
    assert trainer.args.save_total_limit == 1


def test_a_model_without_optimizer_is_not_resumed(tmp_path, train, capsys):
    """Under save_only_model a stop saves all the same what a resume needs; Trainer's own are passed over."""
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


def test_training_goes_on_when_the_disk_takes_no_checkpoint(tmp_path, train, capsys):
    """A save that fails is told, leaves nothing behind, and costs no more than itself."""
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


def test_a_fenced_attempt_writes_nothing_more(tmp_path, train):
    """When a later attempt has taken over, the next save is refused, and the process leaves with 1."""
    with pytest.raises(SystemExit) as left:
        train("0001", "--fence_at", 3, CHECKPOINT_EVERY="2 steps")
    assert left.value.code == 1
    assert checkpoints(tmp_path) == ["checkpoint-2"]
    assert marker(tmp_path, "0001") == {}


def test_an_accumulation_that_trainer_does_not_see_is_refused(train, monkeypatch):
    """Trainer ignores what the job says of accumulation, so it must say the same."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(
        TrainingError, match="accumulates gradients over 1 batches, but ACCELERATE_GRAD"
    ):
        train("0001")


def test_trainers_own_stop_at_a_signal_is_taken_over(train):
    """With enable_jit_checkpoint a signal would end the training as if it were complete."""
    trainer = train("0001", "--enable_jit_checkpoint", "--max_steps", 1)
    assert "JITCheckpointCallback" not in trainer.callback_handler.callback_list


def test_an_order_that_cannot_be_had_again_is_named(train, capsys):
    """Who trains from a stream is warned; with Trainer's own sampler there is nothing to say."""
    train("0001", "--max_steps", 1)
    assert "order of DataLoader" not in capsys.readouterr().err
    train("0001", "--max_steps", 2, "--stream")
    assert (
        "the order of DataLoader 1 of 1 (Stream, unknown length) cannot be restored"
        in capsys.readouterr().err
    )


def test_a_checkpoint_that_is_named_wins_at_first_only(tmp_path, train):
    """The first attempt goes back as it is told; the next one goes on from what the first has saved since."""
    train("0001", "--max_steps", 6, "--save_steps", 2)
    back = ["--max_steps", 7, "--save_steps", 3, "--resume", tmp_path / "output" / "checkpoint-2"]
    with pytest.raises(SystemExit):
        train("0001", *back, "--stop_at", 5)
    assert [line["step"] for line in history(tmp_path, "output/checkpoint-5")] == [1, 2, 3, 4, 5]
    assert checkpoints(tmp_path)[-2:] == ["skipped-checkpoint-4", "skipped-checkpoint-6"]
    train("0002", *back)
    assert read_record(tmp_path / "events" / "attempt-0002.resume")["step"] == "5"


def test_a_checkpoint_that_is_named_must_be_whole(tmp_path, train):
    """A damaged one is refused with the reason, not replaced in silence."""
    train("0001", "--max_steps", 2, "--save_steps", 2)
    named = tmp_path / "output" / "checkpoint-2"
    (named / "scheduler.pt").unlink()
    with pytest.raises(TrainingError, match=r"checkpoint-2, but scheduler.pt is missing"):
        train("0001", "--resume", named)


def test_without_clusterrun_it_resumes_and_seals(tmp_path, train):
    """The same line in a script that is run by hand goes on from the newest checkpoint, and keeps no journal."""
    train(None, "--max_steps", 5, "--save_steps", 2)
    assert manifest.find_damage(tmp_path / "output" / "checkpoint-5") is None
    (tmp_path / "output" / "checkpoint-5" / "trainer_state.json").write_text("{}")
    trainer = train(None, "--max_steps", 6, "--save_steps", 2, "--logging_steps", 1)
    assert trainer.state.global_step == 6
    assert [line["step"] for line in history(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert not (tmp_path / "output" / "events").exists()
