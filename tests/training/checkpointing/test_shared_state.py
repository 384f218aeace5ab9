"""State that a checkpoint holds once is the same on all ranks, or a warning names it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from clusterrun.training.checkpointing.shared_state import digest_parts, list_differences
from tests.training_scripts.launches import clean_environment, start_two

SCRIPT = Path(__file__).parents[2] / "training_scripts" / "unshared_state.py"


def make() -> Accelerator:
    """Return an Accelerator with a model that has made a step, and what is saved with it."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    for kept in (accelerator._models, accelerator._optimizers, accelerator._schedulers):
        kept.clear()
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    model, optimizer, plateau = accelerator.prepare(model, optimizer, plateau)
    accelerator._custom_objects = [copy.deepcopy(torch.nn.Linear(1, 1).half())]
    accelerator.backward(model(torch.randn(4, 3)).square().mean())
    optimizer.step()
    return accelerator


def change_weight(accelerator: Accelerator) -> None:
    accelerator._models[0].get_parameter("0.weight").data[1, 2] += 1e-7


def change_moment(accelerator: Accelerator) -> None:
    next(iter(accelerator._optimizers[0].state.values()))["exp_avg"][0] += 1e-7


def change_rate(accelerator: Accelerator) -> None:
    accelerator._optimizers[0].param_groups[0]["lr"] = 0.05


def change_best(accelerator: Accelerator) -> None:
    accelerator._schedulers[0].scheduler.best = 3.0


def change_half(accelerator: Accelerator) -> None:
    accelerator._custom_objects[0].weight.data += 0.5


def change_buffer(accelerator: Accelerator) -> None:
    accelerator._models[0].get_buffer("1.running_mean").add_(1)


CHANGES = [
    (lambda _: None, []),
    (change_weight, ["model 1 (Sequential)"]),
    (change_moment, ["optimizer 1 (AdamW)"]),
    (change_rate, ["optimizer 1 (AdamW)"]),
    (change_best, ["scheduler 1 (ReduceLROnPlateau)"]),
    (change_half, ["registered object 1 (Linear)"]),
    (change_buffer, []),  # DDP spreads the main process's at its next forward pass
]


@pytest.mark.parametrize(("change", "differing"), CHANGES)
def test_what_differs_between_two_ranks(change, differing) -> None:
    """A last bit of a parameter, or a value of an optimizer, a scheduler or a registered object."""
    accelerator = make()
    first = digest_parts(accelerator)
    assert first == digest_parts(make())
    change(accelerator)
    assert list_differences([first, first, digest_parts(accelerator)]) == differing


def test_ranks_that_train_an_optimizer_of_their_own(tmp_path: Path) -> None:
    """The first save warns once, on two real ranks, and names the second model and its optimizer;
    the model that DDP synchronizes is not named.
    """
    environment = clean_environment(tmp_path) | {"ACCELERATE_USE_CPU": "true"}
    ended = start_two(SCRIPT, tmp_path, environment=environment, log=tmp_path / "log").wait()
    assert ended.code == 0, ended.output
    assert ended.output.count("warning: the ranks differ in") == 1
    assert (
        "the ranks differ in model 2 (Linear) and optimizer 2 (SGD); the checkpoint has only the "
        "state of rank 0, with which all ranks resume" in ended.output
    )
