"""The example in real `accelerate launch` runs on CPUs: stopped, resumed, and identical to the bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from tests.training_scripts.launches import (
    EXAMPLE,
    PATIENCE,
    Ended,
    Launch,
    attempt_of,
    clean_environment,
    manifest,
    marker,
    start,
    start_two,
)

MODEL = {"vocab_size": 300, "block_size": 32, "n_layer": 2, "n_head": 2, "n_embd": 48}
TRAINING = {"learning_rate": 1e-3, "warmup_steps": 5, "per_device_train_batch_size": 4}
LENGTH = {"num_train_epochs": 2, "logging_steps": 1, "eval_steps": 30}
SMALL = [f"--{flag}={value}" for flag, value in (MODEL | TRAINING | LENGTH).items()]


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf"))


@dataclass
class Story:
    """One uninterrupted training, and the same one in three attempts."""

    whole: Path
    parts: Path
    ends: list[Ended]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Return the novel's first chapters: enough for two short epochs."""
    path = tmp_path_factory.mktemp("text") / "chapters.txt"
    path.write_bytes((EXAMPLE.parent / "data" / "pride-and-prejudice.txt").read_bytes()[:60_000])
    return path


def train(folder: Path, attempt: str, text: Path, clean: dict[str, str]) -> Launch:
    environment = clean | attempt_of(folder, attempt, WORLD_SIZE=2, CHECKPOINT_KEEP=2)
    environment |= {"ACCELERATE_USE_CPU": "true", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    arguments = ["--train_file", text, *SMALL]
    return start_two(EXAMPLE, *arguments, environment=environment, log=folder / f"log-{attempt}")


def metrics(folder: Path) -> list[dict[str, object]]:
    path = folder / "output" / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def wait_for_second_epoch(folder: Path, launch: Launch) -> None:
    while launch.process.poll() is None:
        if any(line["epoch"] == 1 and "loss" in line for line in metrics(folder)):
            return
        time.sleep(0.01)


@pytest.fixture(scope="module")
def story(tmp_path_factory, text, clean) -> Iterator[Story]:
    """Train once uninterrupted, and once with a signal during epoch 2, a user's stop, and the end."""
    whole, parts = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("parts")
    ends = [train(whole, "0001", text, clean).wait()]
    first = train(parts, "0001", text, clean)
    wait_for_second_epoch(parts, first)
    (parts / "signal-0001").touch()
    ends.append(first.wait())
    (parts / "stop").write_text("enough for today\n")
    ends.append(train(parts, "0002", text, clean).wait())
    (parts / "stop").write_text("")
    ends.append(train(parts, "0003", text, clean).wait())
    yield Story(whole, parts, ends)
    for folder in (whole, parts):
        shutil.rmtree(folder, ignore_errors=True)


def test_stopped_and_finished_attempts_exit_with_0(story):
    """All processes of every attempt do."""
    assert [end.code for end in story.ends] == [0, 0, 0, 0], story.ends


def test_the_marker_records_how_an_attempt_ended(story):
    """A stop is not taken for the end of the training: the marker names outcome and checkpoint."""
    outcomes = [marker(story.parts, f"{n:04d}")["outcome"] for n in (1, 2, 3)]
    assert outcomes == ["stopped", "stopped", "finished"]
    stopped = marker(story.parts, "0001")
    assert stopped["checkpoint"] == f"step-{int(stopped['step']):08d}-0001"
    assert stopped["epoch"] == "1"
    end = marker(story.whole, "0001")
    assert (end["outcome"], end["checkpoint"]) == ("finished", "")
    assert marker(story.parts, "0003")["step"] == end["step"]


def test_a_users_stop_takes_effect_one_step_later(story):
    """A line in the run's stop file is seen at the next step, and takes effect at the one after."""
    first, second = (int(marker(story.parts, attempt)["step"]) for attempt in ("0001", "0002"))
    assert second == first + 2


def test_a_resumed_run_prints_the_values_of_an_uninterrupted_one(story):
    """Losses, learning rates and evaluations are the same to the last bit, over two resumes.

    Only an evaluation during an epoch may be missing: a stop during it ends it early.
    """
    whole, parts = metrics(story.whole), metrics(story.parts)
    assert {line.pop("attempt") for line in whole} == {"0001"}
    assert {line.pop("attempt") for line in parts} == {"0001", "0002", "0003"}
    missing = [line for line in whole if line not in parts]
    assert parts == [line for line in whole if line not in missing]
    assert all(
        "eval_loss" in line and int(str(line["step"])) % LENGTH["eval_steps"] == 0
        for line in missing
    ), missing


def test_a_resumed_run_ends_with_the_same_weights(story):
    """The saved models are identical files."""
    saved = [
        (folder / "output" / "model" / "model.safetensors").read_bytes()
        for folder in (story.whole, story.parts)
    ]
    assert saved[0] == saved[1]


def test_the_example_learns(story):
    """The loss clearly falls: the example learns."""
    losses = [float(line["loss"]) for line in metrics(story.whole) if "loss" in line]
    assert losses[-1] < losses[0] - 1


def test_the_schedule_does_not_depend_on_the_number_of_processes(story):
    """With two processes the learning rate peaks after the warm-up and ends at zero."""
    rates = {line["step"]: line["learning_rate"] for line in metrics(story.whole) if "loss" in line}
    assert max(rates, key=lambda step: rates[step]) == TRAINING["warmup_steps"]
    assert rates[TRAINING["warmup_steps"]] == pytest.approx(TRAINING["learning_rate"])
    assert rates[max(rates)] == pytest.approx(0.0, abs=1e-9)


def test_four_batches_make_an_optimizer_step(story):
    """ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4 uses four batches of each process per step."""
    name = marker(story.parts, "0002")["checkpoint"]
    saved = manifest(story.parts, name)
    first_epoch = [line for line in metrics(story.whole) if line["epoch"] == 0 and "loss" in line]
    assert saved["batch"] == 4 * (int(str(saved["step"])) - len(first_epoch))


def test_a_checkpoint_holds_the_state_of_all_ranks(story):
    """The manifest lists every file with its size, the random state of each rank among them."""
    name = marker(story.parts, "0002")["checkpoint"]
    folder = story.parts / "checkpoints" / name
    sizes = {
        path.name: path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json"
    }
    saved = manifest(story.parts, name)
    assert {file: entry["size"] for file, entry in saved["files"].items()} == sizes
    assert saved["world_size"] == 2
    assert {"random_states_0.pkl", "random_states_1.pkl"} < sizes.keys()


def test_progress_shows_the_last_step(story):
    """The record has the last step, the total, the loss and a rate."""
    progress = read_record(story.whole / "progress")
    last = [line for line in metrics(story.whole) if "loss" in line][-1]
    assert progress["step"] == progress["total"] == str(last["step"])
    assert float(progress["loss"]) == pytest.approx(float(str(last["loss"])), rel=0.1)
    assert float(progress["rate"]) > 0
    assert int(progress["time"]) > 0


def test_the_saved_model_can_be_loaded(story):
    """The example saves a model and a tokenizer of transformers."""
    folder = story.whole / "output" / "model"
    load = (
        "import sys; from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; "
        "m, t = M.from_pretrained(sys.argv[1]), T.from_pretrained(sys.argv[1]); "
        "print(m.config.vocab_size == len(t), t.decode(t('My dear Mr. Bennet')['input_ids']))"
    )
    command = [sys.executable, "-c", load, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert result.stdout.strip() == "True My dear Mr. Bennet"


@pytest.mark.extended
def test_the_example_runs_and_resumes_without_clusterrun(tmp_path, text, clean):
    """`python train_causal_lm.py` alone trains, saves, resumes and repeats its losses exactly."""
    arguments = [
        "--train_file",
        text,
        *SMALL,
        "--max_steps",
        6,
        "--save_steps",
        4,
        "--eval_steps",
        3,
    ]
    arguments += ["--output_dir", tmp_path / "output"]
    for log in ("first", "second"):
        environment = clean | {"ACCELERATE_USE_CPU": "true"}
        end = start(EXAMPLE, *arguments, environment=environment, log=tmp_path / log).wait()
        assert end.code == 0, end.output
    assert "resumed from step-00000004-0001" in end.output
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6, 5, 6]
    assert lines[-3:] == lines[5:8]
    # None at the last step during the epoch: stopped in that one, the next attempt would continue training.
    assert [line["step"] for line in lines if "eval_loss" in line] == [3, 6, 6]
    assert not (tmp_path / "output" / "events").exists()
