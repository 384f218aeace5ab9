"""The last checkpoint with a finite loss is kept, and `on_nan: stop` ends a run whose loss is NaN,
which then resumes from it.

Members of the kind: NaN, inf; a loss that recovers; a loop with TrainingRun, and a Trainer, which
hides NaN in its logs.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from clusterrun.training.checkpointing.manifest import seal
from clusterrun.training.checkpointing.store import Checkpoints
from clusterrun.training.hf_trainer.output_dir import OutputDir
from clusterrun.training.records.loss_health import LossHealth, is_finite, read_loss
from tests.training_scripts.launches import (
    attempt_of,
    clean_environment,
    manifest,
    marker,
    names,
    start,
)

NAN, INF = math.nan, math.inf
SCRIPT = Path(__file__).parents[1] / "training_scripts" / "nan_loss.py"


def test_a_streak_is_lasting_after_ten_steps() -> None:
    """A single overflow, which a gradient scaler skips, is none."""
    health = LossHealth()
    found = []
    for step, loss in [(1, NAN), (2, 1.0), (3, INF), (8, NAN), (13, NAN), (14, 2.0)]:
        health.note(step, loss)
        found.append(health.lasting)
    assert found == [None] * 4 + ["the loss is nan, and not finite since step 3", None]


LOGS = [
    ({"loss": 0.5, "grad_norm": 1.0}, 0.5),
    ({"loss": 0.0, "grad_norm": NAN}, NAN),  # logging_nan_inf_filter
    ({"loss": NAN, "grad_norm": NAN}, NAN),
    ({"loss": 0.5, "grad_norm": INF}, 0.5),  # an overflow that the scaler skips
    ({"loss": 0.0, "grad_norm": 0.0}, 0.0),
    ({"eval_loss": NAN}, 7.0),
]


@pytest.mark.parametrize(("logs", "loss"), LOGS)
def test_the_loss_that_a_trainer_logs(logs: dict[str, float], loss: float) -> None:
    assert str(read_loss(logs, 7.0)) == str(loss)


def test_what_is_not_a_number_is_not_judged() -> None:
    import torch

    losses = [None, 1.0, NAN, -INF, torch.tensor(NAN), torch.ones(2)]
    assert [is_finite(loss) for loss in losses] == [True, True, False, False, False, True]


@pytest.mark.parametrize("kind", ["ours", "trainer"])
def test_the_last_checkpoint_with_a_finite_loss_is_kept(tmp_path: Path, kind: str) -> None:
    """Next to the `keep` newest, or as one of them, like Trainer's best; once a newer one has a
    finite loss, it is removed.
    """
    facts = {"attempt": 1, "epoch": 0, "batch": 0, "world_size": 1, "asked": True}
    store = Checkpoints(tmp_path, tmp_path / "staging", 1, keep=2)
    pattern = "step-{:08d}-0001"
    if kind == "trainer":
        store, pattern = OutputDir(tmp_path, 1, keep=2), "checkpoint-{}"
    (tmp_path / "staging").mkdir()
    left = []
    for step, finite in enumerate([True, True, False, False, False, True, False], 1):
        folder = tmp_path / pattern.format(step)
        folder.mkdir()
        (folder / "model").write_text("x")
        seal(folder, {**facts, "step": step} | ({} if finite else {"loss_is_finite": False}))
        store.prune()
        store.finish_removal()
        left.append(sorted(int(path.name.split("-")[1]) for path in tmp_path.glob("*-*[0-9]")))
    during = {"ours": [[2, 3, 4], [2, 4, 5]], "trainer": [[2, 4], [2, 5]]}[kind]
    assert left == [[1], [1, 2], [2, 3], *during, [5, 6], [6, 7]]
    newest = store.newest()
    assert newest is not None
    assert newest.step == 7
    store.skips_nan = True
    newest = store.newest()
    assert newest is not None
    assert newest.step == 6


def test_a_run_stops_at_nan_and_resumes_before_it(tmp_path: Path) -> None:
    """With `stop` the attempt ends for good after ten steps of NaN; a resumed one starts at the last
    checkpoint with a finite loss. With `warn` it trains on.
    """
    environment = clean_environment(tmp_path)
    ends = []
    for attempt, more in (("0001", {"ON_NAN": "stop"}), ("0002", {"ON_NAN": "stop"}), ("0003", {})):
        variables = attempt_of(
            tmp_path, attempt, CHECKPOINT_EVERY="4 steps", CHECKPOINT_KEEP="1", **more
        )
        nan_from = {"0001": 7, "0002": 10**9, "0003": 0}[attempt]
        ended = start(
            SCRIPT, tmp_path, nan_from, environment=environment | variables, log=tmp_path / attempt
        ).wait()
        ends.append((ended.code, marker(tmp_path, attempt)["outcome"]))
        if attempt == "0001":
            reason = marker(tmp_path, attempt)["reason"]
            assert reason.startswith("the loss is nan, and not finite since step ")
            first, *others = names(tmp_path)
            assert first == "step-00000004-0001"
            assert len(others) == 1
            assert manifest(tmp_path, others[0])["loss_is_finite"] is False
        if attempt == "0002":
            assert "the loss was not finite when it was saved (on_nan: stop)" in ended.output
            assert "resumed from step-00000004-0001" in ended.output
    assert ends == [(93, "no-restart"), (0, "finished"), (0, "finished")]
