"""A checkpoint that verifies but does not fit the script ends the run with a sentence: a retry would
fail in the same way, and skipping it would lose the training.

Members of the kind: another model, more optimizers, another number of parameter groups, more or
fewer registered objects. What may recover is not one: a full memory, a file server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState

from clusterrun.training import TrainingError, TrainingRun
from clusterrun.training.checkpointing.mismatch import explain_mismatch
from tests.training_scripts.launches import attempt_of, clean_environment, marker

Begin = Callable[..., TrainingRun]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Return a function that makes an attempt of a script with these parts."""
    import os

    for name in os.environ.keys() - clean_environment(tmp_path).keys():
        monkeypatch.delenv(name)

    def attempt(
        name: str, width: int = 2, optimizers: int = 1, groups: int = 1, objects: int = 1
    ) -> TrainingRun:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        for key, value in attempt_of(tmp_path, name).items():
            monkeypatch.setenv(key, value)
        accelerator = Accelerator(cpu=True)
        run = TrainingRun(accelerator, tmp_path)
        model = torch.nn.Linear(width, 1)
        parameters = [{"params": [one]} for one in model.parameters()]
        optimizer = torch.optim.SGD(parameters if groups == 2 else model.parameters(), lr=0.1)
        more = [torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(optimizers - 1)]
        accelerator.prepare(model, optimizer, *more)
        accelerator.register_for_checkpointing(*(torch.nn.Linear(1, 1) for _ in range(objects)))
        return run

    yield attempt
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


MISFITS = [
    ({"width": 3}, "size mismatch for weight"),
    ({"optimizers": 2}, "it has no optimizer_1.bin"),
    ({"groups": 2}, "different number of parameter groups"),
    ({"objects": 2}, "Number of custom checkpoints"),
    ({"objects": 0}, "Number of custom checkpoints"),
]


@pytest.mark.parametrize(("change", "reason"), MISFITS)
def test_a_changed_script_is_refused(
    tmp_path: Path, begin: Begin, change: dict[str, int], reason: str
) -> None:
    """The sentence names the checkpoint and what differs, and the run is not restarted."""
    first = begin("0001")
    position = first.resume()
    position.step = 1
    first._save(position, exiting=True)
    assert begin("0002").resume().step == 1
    with pytest.raises(TrainingError, match=f"step-00000001-0001 is intact.*{reason}") as error:
        begin("0003", **change).resume()
    assert "submit a new run" in str(error.value.hint)
    assert marker(tmp_path, "0003")["outcome"] == "no-restart"


PASSING = [
    torch.OutOfMemoryError("CUDA out of memory"),
    FileNotFoundError(2, "No such file", "/home/me/other"),
    OSError(5, "Input/output error"),
    RuntimeError("NCCL error"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_recover_is_no_mismatch(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error.args[-1])), explain_mismatch(tmp_path):
        raise error
