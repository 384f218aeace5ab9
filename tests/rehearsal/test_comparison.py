"""The losses and weights of a rehearsal are compared with the reference's."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.rehearsal.comparison import compare_losses, compare_weights
from clusterrun.rehearsal.observation import SeenCheckpoint, SeenStep
from clusterrun.rehearsal.outcome_text import format_outcome
from clusterrun.rehearsal.result import Rehearsal
from clusterrun.rehearsal.verdict import judge_training

TOLERANCE = 1e-3


def steps(losses: dict[int, float | None], width: int = 1) -> list[SeenStep]:
    return [SeenStep(step, step - width, loss, 0.0) for step, loss in losses.items()]


REFERENCE = {step: 10.0 / step for step in range(1, 31)}
EARLY = {step: REFERENCE[step] for step in range(1, 16)}


@pytest.mark.parametrize(
    ("before", "after", "same", "differ_from"),
    [
        pytest.param(EARLY, {16: 10 / 16, 17: 10 / 17}, True, None, id="bit-for-bit"),
        pytest.param(EARLY, {16: 10 / 16 * (1 + 1e-5)}, True, None, id="within-the-tolerance"),
        pytest.param(
            EARLY, {16: 10 / 16, 17: 0.6, 18: 0.6}, False, 17, id="from-the-second-step-on"
        ),
        pytest.param(EARLY, {16: float("nan")}, False, 16, id="nan"),
        pytest.param({3: 9.0}, {16: 0.7}, None, 16, id="differ-before-the-stop"),
        pytest.param({}, {16: 0.7}, False, 16, id="no-control"),
        pytest.param(EARLY, {16: None, 17: None}, None, None, id="no-losses"),
        pytest.param(EARLY, {31: 1.0}, None, None, id="no-step-in-common"),
    ],
)
def test_losses_are_compared(
    before: dict[int, float | None],
    after: dict[int, float | None],
    same: bool | None,
    differ_from: int | None,
) -> None:
    """Relative to the reference's losses; a difference before the stop shows that the training
    cannot be repeated.
    """
    comparison = compare_losses(steps(before), steps(after), steps(dict(REFERENCE)), TOLERANCE)
    assert (comparison.same, comparison.diverged_at_step) == (same, differ_from)


def test_mean_losses_over_different_steps_are_not_compared() -> None:
    """A Trainer's first mean after a resume covers fewer steps than the reference's."""
    comparison = compare_losses(
        [],
        [SeenStep(20, 15, 9.0, 0.0), SeenStep(30, 20, 2.0, 0.0)],
        steps({20: 1.0, 30: 2.0}, 10),
        TOLERANCE,
    )
    assert (comparison.compared_after, comparison.first_step, comparison.same) == (1, 30, True)


def saved(step: int, attempt: int, model: str = "aa", **others: str) -> SeenCheckpoint:
    files = {
        "model.safetensors": model,
        **{name.replace("_", "."): crc for name, crc in others.items()},
    }
    return SeenCheckpoint(
        Path(f"step-{step}"),
        attempt,
        step,
        0.0,
        {name: {"size": 1, "crc32": crc} for name, crc in files.items()},
    )


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        pytest.param([saved(10, 1)], [saved(20, 2)], True, id="same"),
        pytest.param([saved(10, 1)], [saved(20, 2, "bb")], False, id="other-weights"),
        pytest.param([saved(10, 1, "bb")], [saved(20, 2, "bb")], None, id="not-repeatable"),
        pytest.param([], [saved(20, 2, "bb")], None, id="no-control"),
        pytest.param([saved(10, 1)], [saved(20, 2, optimizer_bin="cc")], True, id="another-file"),
        pytest.param([saved(10, 1)], [saved(15, 2), saved(20, 2)], True, id="the-last-in-common"),
    ],
)
def test_weights_are_compared(
    before: list[SeenCheckpoint], after: list[SeenCheckpoint], same: bool | None
) -> None:
    """By the checksums in a checkpoint's manifest; no tensor is loaded."""
    comparison = compare_weights(before, after, [saved(10, 1), saved(20, 1)])
    assert comparison is not None
    assert (comparison.same, comparison.step) == (same, 20)


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "model_1.safetensors", "model-00001-of-00002.safetensors", "pytorch_model.bin",
     "pytorch_model/mp_rank_00_model_states.pt", "pytorch_model/zero_pp_rank_1_mp_rank_00_model_states.pt",
     "pytorch_model_fsdp_0/__1_0.distcp", "pytorch_model_fsdp.bin", "adapter_model.safetensors"],
)  # fmt: skip
def test_files_of_weights_are_known(name: str) -> None:
    """Each strategy writes its weights under other names."""
    one, other = (
        {name: {"size": 1, "crc32": crc}, "optimizer.bin": {"size": 1, "crc32": crc}}
        for crc in ("aa", "bb")
    )
    reference = [SeenCheckpoint(Path("step"), 1, 20, 0.0, one)]
    comparison = compare_weights([], [SeenCheckpoint(Path("step"), 2, 20, 0.0, other)], reference)
    assert comparison is not None
    assert (comparison.differing_weight_files, comparison.differing_other_files) == (
        (name,),
        ("optimizer.bin",),
    )


def test_weights_decide_if_no_losses_are_recorded() -> None:
    """Other weights than the reference's are a failure, unless equal losses show that it is
    rounding.
    """
    weights = compare_weights([saved(10, 1)], [saved(20, 2, "bb")], [saved(10, 1), saved(20, 1)])
    comparison = Rehearsal("job", losses=compare_losses([], [], [], TOLERANCE), weights=weights)
    judge_training(comparison)
    assert "the weights at step 20 differ from the reference" in comparison.reasons[0]
    close = compare_losses(
        steps(dict(EARLY)), steps({16: 10 / 16 * (1 + 1e-6)}), steps(dict(REFERENCE)), TOLERANCE
    )
    comparison = Rehearsal("job", losses=close, weights=weights)
    judge_training(comparison)
    assert comparison.reasons == []
    assert "although the losses agree" in comparison.notes[0]
    assert "within 1.0e-06" in format_outcome(comparison)
