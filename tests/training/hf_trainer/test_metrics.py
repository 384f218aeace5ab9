"""What Trainer logs is recorded: the loss of each evaluation, with its best value and its step."""

from __future__ import annotations

from pathlib import Path

from clusterrun.run_folder.metric_values import parse_metrics
from clusterrun.run_folder.records import read_record
from tests.training.hf_trainer.conftest import Train


def test_the_evaluations_of_a_trainer_are_recorded(tmp_path: Path, train: Train) -> None:
    trainer = train("0001", "--max_steps", 6, "--eval_strategy", "steps", "--eval_steps", 3,
                    "--save_steps", 6, "--logging_steps", 1)  # fmt: skip
    logged = {
        one["step"]: one["eval_loss"] for one in trainer.state.log_history if "eval_loss" in one
    }
    assert sorted(logged) == [3, 6]
    found = parse_metrics(read_record(tmp_path / "progress"))
    best = min(logged, key=lambda step: logged[step])
    assert found["eval_loss"].min_step == best
    assert abs(found["eval_loss"].last - logged[6]) < 1e-6
    assert "loss" in found
    assert not {name for name in found if name.endswith("_runtime")}
