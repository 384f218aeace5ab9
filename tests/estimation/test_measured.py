"""Bytes that real DDP, ZeRO and FSDP use on two CPU processes, compared with the estimate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterrun.estimation import states
from clusterrun.estimation.states import states_of
from tests.training_scripts.launches import clean_environment, start_two

SCRIPT = Path(__file__).parents[1] / "training_scripts" / "measure_states.py"
STRATEGIES = {
    "ddp": states.DDP,
    "zero2": states.ZERO_2,
    "zero3": states.ZERO_3,
    "fsdp": states.FSDP,
}
TOLERANCE = 0.01  # DeepSpeed pads each partition to a multiple of its alignment


@pytest.mark.parametrize(("name", "precision"), [
    *(pytest.param(*cell, marks=pytest.mark.extended) for cell in (("ddp", "bf16"), ("fsdp", "bf16"), ("zero2", "bf16"), ("zero3", "bf16"), ("zero2", "no"))),
])  # fmt: skip
def test_states_are_as_large_as_estimated(tmp_path, name, precision):
    """On both ranks weights, gradients and optimizer are within one percent of the estimate."""
    # accelerate selects gloo because of ACCELERATE_USE_CPU, DeepSpeed only without it
    own = {"DS_ACCELERATOR": "cpu"} if name.startswith("zero") else {"ACCELERATE_USE_CPU": "true"}
    ended = start_two(SCRIPT, tmp_path, name, precision, environment=clean_environment(tmp_path) | own,
                      log=tmp_path / "log").wait()  # fmt: skip
    assert ended.code == 0, ended.output[-3000:]
    for rank in (0, 1):
        answer = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        expected = states_of(answer.pop("parameters"), 2, STRATEGIES[name], mixed=precision != "no")
        assert answer == pytest.approx(
            {part: getattr(expected, part) for part in answer}, rel=TOLERANCE
        )
        assert sum(answer.values()) == pytest.approx(expected.total, rel=TOLERANCE)
