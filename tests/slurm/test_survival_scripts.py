"""Scripts that are not written for clusterrun survive a preemption: transformers.Trainer, and
scripts that import nothing of it.

Budget: 1 1/2 minutes. All runs are active at once. The results of the uninterrupted ones are those
that the others must equal.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.slurm.desk import SCRIPTS, Desk, Submitted, until
from tests.slurm.survival import (
    TWO_RANKS,
    UNPREEMPTED,
    assert_ended,
    completes,
    preempt,
    story,
)

BACKGROUND = ("bare", "plain", "trainer", "plain_reference", "trainer_reference")
STEPS, SAVE_STEPS = 200, 20  # at the pace of slowed.py a minute; not slowed, seconds
LAST = f"checkpoint-{STEPS:06d}.pt"
TRAINER: dict[str, Any] = {
    "args": {
        "n_embd": 64,
        "n_layer": 2,
        "block_size": 64,
        "per_device_train_batch_size": 2,
        "max_steps": STEPS,
    },
    "accelerate": {"use_cpu": True},
    "checkpoint": {"every": f"{SAVE_STEPS} steps"},
    "real_launch": True,
}
BARE: dict[str, Any] = {
    "args": {"max_steps": STEPS, "save_steps": SAVE_STEPS},
    "accelerate": {"use_cpu": True},
    "real_launch": True,
}
PLAIN = {**BARE, "checkpoint": {"path": "{run_dir}/output/checkpoint-*", "signal": "USR1"}}
ONE_NODE = {"nodes": 1, "gpus-per-node": 2}


def slowed(script: str) -> dict[str, Any]:
    """Return the values of a job spec whose script is slow in its first attempt."""
    return {"script": str(SCRIPTS / "slowed.py"), "environment": {"variables": {"SLOWED": script}}}


def unpreempted(**values: Any) -> dict[str, Any]:
    spec = {**UNPREEMPTED, **values}
    return {option: value for option, value in spec.items() if value is not None}


@pytest.fixture(scope="module")
def trainer_reference(desk: Desk) -> Submitted:
    return desk.submit(
        "trainer-reference", script="examples/train_with_trainer.py", slurm=unpreempted(), **TRAINER
    )


@pytest.fixture(scope="module")
def trainer(desk: Desk) -> Submitted:
    return desk.submit(
        "trainer",
        slurm={**TWO_RANKS, "exclude": "n[3-4]"},
        **slowed("examples/train_with_trainer.py"),
        **TRAINER,
    )


@pytest.fixture(scope="module")
def plain_reference(desk: Desk) -> Submitted:
    return desk.submit(
        "plain-reference", script="examples/train_plain.py", slurm=unpreempted(), **PLAIN
    )


@pytest.fixture(scope="module")
def plain(desk: Desk) -> Submitted:
    return desk.submit(
        "plain", slurm={**ONE_NODE, "nodelist": "n3"}, **slowed("examples/train_plain.py"), **PLAIN
    )


@pytest.fixture(scope="module")
def bare(desk: Desk) -> Submitted:
    """The plain script again, with a spec that does not name its checkpoints."""
    return desk.submit(
        "bare", slurm={**ONE_NODE, "nodelist": "n4"}, **slowed("examples/train_plain.py"), **BARE
    )


def weights(run: Submitted) -> dict[str, torch.Tensor]:
    """Return the final weights of the plain script."""
    saved: dict[str, Any] = torch.load(run.folder / "output" / LAST, weights_only=True)
    model: dict[str, torch.Tensor] = saved["model"]
    return model


def assert_equal_weights(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def first_checkpoint(run: Submitted) -> Path:
    return run.folder / "output" / f"checkpoint-{SAVE_STEPS:06d}.pt"


def numbers(pattern: str, text: str) -> list[int]:
    return [int(number) for number in re.findall(pattern, text)]


@pytest.mark.extended
def test_a_script_without_checkpoints_restarts_from_the_beginning(
    desk: Desk, bare: Submitted, plain_reference: Submitted
) -> None:
    """A script that cannot resume, and handles no stop, is killed when the grace ends, and starts
    again.
    """
    until(first_checkpoint(bare).exists, 240, "training is under way")
    preempt(desk, bare)

    completes(desk, bare)
    assert_ended(desk, bare, "preemption", "finished")
    assert numbers(r"step (\d+) loss", bare.log(2)) == list(
        range(SAVE_STEPS, STEPS + 1, SAVE_STEPS)
    )
    completes(desk, plain_reference)
    assert_equal_weights(weights(bare), weights(plain_reference))


@pytest.mark.extended
def test_a_script_with_its_own_checkpoints_resumes(
    desk: Desk, plain: Submitted, plain_reference: Submitted
) -> None:
    """A script that imports nothing of clusterrun receives its own signal to save, and the
    checkpoint to resume from.
    """
    until(first_checkpoint(plain).exists, 240, "training is under way")
    preempt(desk, plain)

    completes(desk, plain)
    assert_ended(desk, plain, "preemption", "finished")
    saved = numbers(r"saved .*/checkpoint-(\d+)\.pt", plain.log(1))
    assert saved[-1] < STEPS
    assert numbers(r"resumed at step (\d+)", plain.log(2)) == saved[-1:], story(plain)
    completes(desk, plain_reference)
    assert_equal_weights(weights(plain), weights(plain_reference))


@pytest.mark.extended
def test_a_trainer_script_resumes(
    desk: Desk, trainer: Submitted, trainer_reference: Submitted
) -> None:
    """With one line, a script of transformers.Trainer loses no step and ends with the same weights,
    bit for bit.
    """
    until(lambda: trainer.step() >= 5, 240, "training is under way")
    preempt(desk, trainer)

    completes(desk, trainer)
    assert_ended(desk, trainer, "preemption", "finished")
    attempts = desk.status(trainer)["attempts"]
    assert attempts[0]["steps_lost"] == 0
    completes(desk, trainer_reference)
    model = Path("output") / "model.safetensors"
    assert (trainer.folder / model).read_bytes() == (trainer_reference.folder / model).read_bytes()
