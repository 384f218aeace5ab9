"""`sweep.metric`: its values, its mistakes, and what the run folder keeps of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.submission.saved_request import _format_metric
from clusterrun.training.hf_trainer.logged_metrics import select_metrics
from tests.sweeps.test_members import prepared, problems

SPEC = "name: x\nscript: train.py\nargs: {seed: 0}\nsweep: {grid: {args.seed: [1, 2]}%s}\n"


@pytest.mark.parametrize(("metric", "kept"), [
    ("", ""),
    (", metric: {name: eval_loss}", "min eval_loss"),
    (", metric: {name: acc, goal: max}", "max acc"),
    (", metric: {goal: min}", "min loss"),
])  # fmt: skip
def test_the_run_folder_keeps_the_metric(tmp_path: Path, metric: str, kept: str) -> None:
    assert _format_metric(prepared(tmp_path, SPEC % metric)) == kept


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("eval_loss", "s.yaml:4: sweep.metric: "),
        ("{name: eval_loss, goal: lowest}", "s.yaml:4: sweep.metric.goal: "),
        ("{nam: eval_loss}", "s.yaml:4: sweep.metric.nam: unknown key"),
        (
            "{name: two words}",
            "s.yaml:4: sweep.metric.name: 'two words' is not the name of a metric",
        ),
    ],
)
def test_mistakes_are_reported_with_their_line(tmp_path: Path, metric: str, message: str) -> None:
    (found,) = problems(tmp_path, SPEC % f", metric: {metric}")
    assert found.startswith(message), found


def test_the_metrics_in_what_trainer_logs() -> None:
    """Losses, scores and norms; not its clocks, and not what the progress has already."""
    logs = {"loss": 1.0, "learning_rate": 1e-4, "epoch": 1.0, "eval_loss": 0.5, "grad_norm": 2.0,
            "eval_runtime": 3.0, "eval_samples_per_second": 9.0, "total_flos": 1e9, "note": "x", "ok": True}  # fmt: skip
    assert select_metrics(logs) == {"eval_loss": 0.5, "grad_norm": 2.0}
