"""DDP, ZeRO-2, ZeRO-3 and FSDP2 on two processes match one process with the same samples a step.

Budget: 1 minute. The tolerance is 1e-4 of the loss, at each of 32 steps of AdamW with clipped
gradients: sums have
another order, and AdamW divides small numbers by small numbers. A wrong mean, share or clipping
differs far more.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training_scripts.launches import ROOT, Ended, clean_environment, start
from tests.training_scripts.strategies import Strategy, start_ranks

SCRIPT = ROOT / "examples" / "deepspeed_training.py"
FSDP2 = Strategy(fsdp2=True, block="Linear")
STRATEGIES = {"ddp": Strategy(), "zero2": Strategy(2), "zero3": Strategy(3), "fsdp2": FSDP2}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return clean_environment(tmp_path_factory.mktemp("hf"))


def losses(ended: Ended) -> list[float]:
    assert ended.code == 0, ended.output
    lines = [json.loads(line) for line in ended.output.splitlines() if line.startswith("{")]
    return [line["loss"] for line in lines if "step" in line]


def train_alone(folder: Path, clean: dict[str, str], *words: object) -> list[float]:
    environment = clean | {"ACCELERATE_USE_CPU": "true"}
    words = ("--output_dir", folder, *words)
    return losses(
        start(SCRIPT, *words, environment=environment, log=folder.with_suffix(".log")).wait()
    )


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory, clean: dict[str, str]) -> list[float]:
    """The losses of one process with 32 samples a step."""
    return train_alone(
        tmp_path_factory.mktemp("single") / "output", clean, "--per_device_train_batch_size", 32
    )


@pytest.mark.parametrize(
    "name",
    [
        "ddp",
        *(pytest.param(name, marks=pytest.mark.extended) for name in ("zero2", "zero3", "fsdp2")),
    ],
)
def test_two_processes_train_as_one(
    name: str, single: list[float], tmp_path: Path, clean: dict[str, str]
) -> None:
    """Two processes with 16 samples each match the loss of one with 32 at every step, within 1e-4."""
    words = ["--output_dir", tmp_path / "output", "--per_device_train_batch_size", 16]
    ended = start_ranks(
        STRATEGIES[name], SCRIPT, *words, environment=clean, log=tmp_path / "log"
    ).wait()
    assert len(single) == 32
    assert single[-1] < 0.5 * single[0]
    assert losses(ended) == pytest.approx(single, rel=1e-4)


def test_another_global_batch_does_not_agree(
    tmp_path: Path, single: list[float], clean: dict[str, str]
) -> None:
    """One process with 16 samples a step differs from two with 16 each by more than the tolerance."""
    other = train_alone(tmp_path / "output", clean, "--per_device_train_batch_size", 16)
    assert other[:32] != pytest.approx(single, rel=1e-2)
