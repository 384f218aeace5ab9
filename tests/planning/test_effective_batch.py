"""The effective batch size, and the values that the spec overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.planning.preparation import Request, prepare
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.submission.saved_request import save_request
from tests.support.planned import prepared_job_spec

STEPS = [
    (
        "args: {per_device_train_batch_size: 8}",
        "8 per process x 8 processes = 64 samples per step, unless the script accumulates",
    ),
    (
        "args: [--batch_size, '4', --gradient-accumulation-steps=2]",
        "4 per process x 8 processes x 2 accumulated = 64 samples per step",
    ),
    (
        "accelerate: {gradient_accumulation_steps: 4}",
        "samples per process x 8 processes x 4 accumulated",
    ),
    ("args: {lr: 3}", ""),
]


@pytest.mark.parametrize(("line", "words"), STEPS)
def test_the_effective_batch(line, words, tmp_path, monkeypatch):
    """It is per device x processes x accumulation, as far as they are known; `validate` shows it."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").touch()
    Path("job.yaml").write_text(
        f"script: train.py\n{line}\nslurm: {{nodes: 2, gres: 'gpu:a100:4'}}\n"
    )
    assert prepare(Request("job.yaml", environment={}, own_python=False)).batch.in_words() == words


@pytest.mark.parametrize(("line", "words"), [
    ("args: {lr: 3}", "5 per process (the script's default) x 8 processes x 2 accumulated = 80 samples per step"),
    ("accelerate: {gradient_accumulation_steps: 4}",
     "5 per process (the script's default) x 8 processes x 4 accumulated = 160 samples per step"),
    ("args: {batch-size: 64, micro_batch_size: 8}", "8 per process x 8 processes x 2 accumulated = 128 samples per step"),
    ("args: [--batch-size=8, -g, '4']", "8 per process x 8 processes = 64 samples per step, unless the script accumulates"),
    ("args: {grad_unknown: 1, gradient_acc: 4}",
     "5 per process (the script's default) x 8 processes = 40 samples per step, unless the script accumulates"),
    ("accelerate: {deepspeed_config: {zero_stage: '2', gradient_accumulation_steps: '3'}}",
     "5 per process (the script's default) x 8 processes x 3 accumulated = 120 samples per step"),
    ("args: {batch-size: 8}", "8 per process x 8 processes x 2 accumulated = 128 samples per step"),
])  # fmt: skip
def test_the_spec_overrides_the_script_s_defaults(line, words, tmp_path, monkeypatch):
    """What the spec does not set is read from the script."""
    monkeypatch.chdir(tmp_path)
    add = "parser.add_argument"
    Path("train.py").write_text(
        f"{add}('--batch_size', default=5)\n{add}('-g', '--gradient_accumulation_steps', default=2)\n"
    )
    Path("job.yaml").write_text(
        f"script: train.py\n{line}\nslurm: {{nodes: 2, gres: 'gpu:a100:4'}}\n"
    )
    assert prepare(Request("job.yaml", environment={}, own_python=False)).batch.in_words() == words


def test_the_journal_records_the_effective_batch(tmp_path):
    """The samples of an optimizer step are recorded before submission."""
    paths = RunPaths(tmp_path)
    paths.events.mkdir()
    save_request(RunRef("zero3", paths), prepared_job_spec("zero3"), {})
    assert (
        read_record(paths.intent)["batch"]
        == "8 per process x 8 processes x 4 accumulated = 256 samples per step"
    )
