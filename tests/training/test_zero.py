"""Checkpoints with DeepSpeed, where each rank writes and loads a part: on two CPU processes,
without Slurm.

Budget: 1 1/2 minutes. tests/slurm/test_strategies.py has the stops, and the nodes.
"""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.training_scripts.launches import EXAMPLE, Ended, clean_environment
from tests.training_scripts.strategies import Strategy, start_ranks

ZERO = EXAMPLE.with_name("deepspeed_training.py")
TRAINER = EXAMPLE.with_name("train_with_trainer.py")
WEIGHTS = 271_873  # of ZERO's model with --width 512
# A rank's part of the optimizer has 6 bytes per weight, the model 4: only the parts are too large.
LIMIT = 5 * WEIGHTS


@pytest.fixture
def clean(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path)


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Limit the size of files that processes started now can write, which looks like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def steps(ended: Ended) -> list[int]:
    assert ended.code == 0, ended.output
    # another rank's output may follow on the same line
    lines = [
        json.JSONDecoder().raw_decode(line)[0]
        for line in ended.output.splitlines()
        if line.startswith("{")
    ]
    return [line["step"] for line in lines if "step" in line]


@pytest.mark.extended
def test_a_part_that_does_not_fit_costs_only_the_checkpoint(
    tmp_path: Path, clean: dict[str, str]
) -> None:
    """If the optimizer's parts do not fit, no rank waits for another, the failure is logged, and
    all steps are trained.
    """
    words = ["--output_dir", tmp_path / "output", "--width", 512]
    with files_no_larger_than(LIMIT):
        launch = start_ranks(Strategy(2), ZERO, *words, environment=clean, log=tmp_path / "log")
    ended = launch.wait()
    assert steps(ended) == list(range(1, 33))
    assert (
        "warning: step 12 could not be saved (rank 0: zero_pp_rank_0_mp_rank_00_optim_states.pt:"
        in ended.output
    )
    assert "rank 1: zero_pp_rank_1_mp_rank_00_optim_states.pt:" in ended.output
    assert list((tmp_path / "output" / "checkpoints").iterdir()) == []
    assert list((tmp_path / "output" / "staging").iterdir()) == []


@pytest.mark.extended
def test_another_number_of_processes_is_refused(tmp_path: Path, clean: dict[str, str]) -> None:
    """Three processes cannot resume what two have saved; the error names the possible numbers, and
    DeepSpeed is not called.
    """
    words = ["--output_dir", tmp_path / "output", "--num_train_epochs", 1]
    first = start_ranks(Strategy(3), ZERO, *words, environment=clean, log=tmp_path / "log").wait()
    assert steps(first) == list(range(1, 17))
    ended = start_ranks(
        Strategy(3), ZERO, *words, environment=clean, log=tmp_path / "other.log", ranks=3
    ).wait()
    assert ended.code != 0
    assert (
        "checkpoint step-00000012-0001 was saved by 2 processes, but this attempt has 3: a step"
        in ended.output
    )
    assert "run with one of these numbers of processes: 1, 2; or" in ended.output


def test_a_corrupt_part_of_one_rank_is_detected(tmp_path: Path, clean: dict[str, str]) -> None:
    """After a flipped byte in the second rank's part the run restarts rather than resume from a
    wrong state.
    """
    words = ["--output_dir", tmp_path / "output", "--num_train_epochs", 1]
    start_ranks(Strategy(1), ZERO, *words, environment=clean, log=tmp_path / "log").wait()
    (part,) = (tmp_path / "output" / "checkpoints").glob(
        "*/pytorch_model/zero_pp_rank_1_*_optim_states.pt"
    )
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    again = start_ranks(
        Strategy(1), ZERO, *words, environment=clean, log=tmp_path / "again.log"
    ).wait()
    assert (
        f"skipping step-00000012-0001: pytorch_model/{part.name}'s checksum differs" in again.output
    )
    assert steps(again) == list(range(1, 17))


@pytest.mark.extended
def test_a_trainer_resumes_under_zero(tmp_path: Path, clean: dict[str, str]) -> None:
    """transformers.Trainer with ZeRO-3 seals its checkpoints, resumes from one, and ends with the
    same model.
    """
    output, models = tmp_path / "output", []
    words = [
        "--output_dir",
        output,
        "--max_steps",
        6,
        "--save_steps",
        4,
        "--logging_steps",
        1,
        "--n_embd",
        32,
    ]
    words += ["--n_layer", 1, "--block_size", 64, "--per_device_train_batch_size", 2]
    words += [
        "--ddp_backend",
        "gloo",
    ]  # TrainingArguments reset Accelerate's state: it must be set there
    for log in ("first", "second"):
        launch = start_ranks(
            Strategy(3), TRAINER, *words, environment=clean | {"BACKEND": ""}, log=tmp_path / log
        )
        ended = launch.wait()
        assert ended.code == 0, ended.output
        models.append((output / "model.safetensors").read_bytes())
        assert (
            json.loads((output / "checkpoint-6" / "manifest.json").read_text())["strategy"]
            == "DEEPSPEED"
        )
        shutil.rmtree(output / "checkpoint-6")
    assert f"resumed from {output / 'checkpoint-4'}" in ended.output
    assert models[0] == models[1]
