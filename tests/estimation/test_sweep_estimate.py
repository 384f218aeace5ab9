"""`clusterrun estimate` of a sweep: the member that needs the most, and the hours of all."""

from __future__ import annotations

from pathlib import Path

import clusterrun
from clusterrun import cli
from tests.estimation.test_estimate import estimate, folder

__all__ = ["estimate", "folder"]
SWEPT = """\
script: train.py
args: {model_name_or_path: models/llama-8b, per_device_train_batch_size: 2, block_size: 4096}
slurm: {partition: gpu, nodes: 2, gpus-per-node: 4, time: "12:00:00"}
accelerate: {mixed_precision: bf16, deepspeed_config: {zero_stage: 2}}
sweep:
  grid: {args.seed: [1, 2]}
  cases: [{args.per_device_train_batch_size: 8}, {args.learning_rate: 1e-4}]
"""


def test_the_member_that_needs_the_most(estimate, capsys) -> None:
    """A member has the spec's own value of what another member sets."""
    Path("sweep.yaml").write_text(SWEPT)
    found = estimate("sweep.yaml")
    assert found["member"]["number"] == 0
    assert found["member"]["values"] == {"args.seed": "1", "args.per_device_train_batch_size": "8"}
    assert (found["gpu_hours"], found["sweep_gpu_hours"]) == (96.0, 384.0)
    Path("job8.yaml").write_text(SWEPT[: SWEPT.index("sweep:")].replace("size: 2", "size: 8"))
    single = estimate("job8.yaml")
    assert single["strategies"] == found["strategies"]
    assert single["member"] is None
    assert clusterrun.estimate("sweep.yaml").sweep_gpu_hours == 384.0
    assert cli.main(["estimate", "sweep.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [
        "member: 0 of 4 members needs the most: args.seed=1 args.per_device_train_batch_size=8",
        "sweep: at most 384 GPU hours for all members",
    ]


def test_the_other_members_keep_the_value_of_the_spec(estimate) -> None:
    text = SWEPT.replace("size: 8}", "size: 1}")
    Path("sweep.yaml").write_text(text)
    found = estimate("sweep.yaml")
    assert found["member"]["values"] == {"args.seed": "1", "args.learning_rate": "1e-4"}
