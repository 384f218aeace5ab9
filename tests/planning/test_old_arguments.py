"""Old forms in a training script and its arguments are reported before submission."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterrun.training_script.old_forms import ARGUMENTS
from tests.support.validation import ZERO, reported

pytestmark = pytest.mark.usefixtures("folder")

TRAINER = "from transformers import HfArgumentParser, TrainingArguments\n"
OWN = "environment: {venv: .venv}\n"


def without_it(*but: str) -> None:
    """Make an environment whose TrainingArguments has no old arguments, except some."""
    package = Path(".venv/lib/python3.12/site-packages/transformers")
    package.mkdir(parents=True)
    fields = "".join(f"    {name}: float | None = None\n" for name in ("eval_strategy", *but))
    (package / "training_args.py").write_text(f"class TrainingArguments:\n{fields}")
    Path(".venv/bin").mkdir()
    Path(".venv/bin/activate").touch()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_old_arguments(name):
    """A removed argument is an error for a Trainer's script, and a note for any other."""
    without_it()
    words = (
        f"transformers 5 replaced it by {ARGUMENTS[name]}"
        if ARGUMENTS[name]
        else "transformers 5 removed it without a replacement"
    )
    spec = f"{OWN}script: train.py\nslurm: {{gpus: 1}}\nargs:\n  {name}: 1\n"
    assert (
        reported(spec, train_py=TRAINER)
        == f"job.yaml:5: args.{name}: TrainingArguments has no {name}\n  hint: {words}"
    )
    note = f"note: job.yaml:5: args.{name}: if the script passes it to TrainingArguments: {words}"
    assert reported(spec, train_py="import torch\n") == note
    assert reported(spec, train_py=f"add('--{name}')\n") == ""
    assert reported(f"{OWN}script: train.py\nargs:\n- --{name}=1\n", train_py=TRAINER).startswith(
        f"job.yaml:4: args[0]: TrainingArguments has no {name}"
    )


def test_an_argument_that_the_jobs_own_transformers_still_accepts():
    """Versions 5.0 to 5.12 have some that later ones removed: the run works, and gets a note."""
    without_it("warmup_ratio")
    spec = f"{OWN}script: train.py\nslurm: {{gpus: 1}}\nargs:\n  warmup_ratio: 0.1\n"
    words = f"a later transformers 5 replaced it by {ARGUMENTS['warmup_ratio']}"
    assert reported(spec, train_py=TRAINER) == f"note: job.yaml:5: args.warmup_ratio: {words}"


def test_accumulation_that_a_trainer_ignores():
    """A Trainer passes its own gradient_accumulation_steps, so the spec's must not differ."""
    spec = "script: train.py\nslurm: {gpus: 1}\naccelerate: {gradient_accumulation_steps: 4}\n"
    assert reported(spec, train_py=TRAINER) == (
        "job.yaml:3: accelerate.gradient_accumulation_steps: 4 here, but 1 in args, and a Trainer reads only its argument\n"
        "  hint: write args: {gradient_accumulation_steps: 4}"
    )
    assert reported(f"{spec}args: {{gradient_accumulation_steps: 4}}\n", train_py=TRAINER) == ""
    assert reported(spec, train_py="import accelerate\n") == ""


SOURCES = [
    ("a = DeepSpeedPlugin(config=x)", "DeepSpeedPlugin(config=...) was removed; use DeepSpeedPlugin(hf_ds_config=...)"),
    ("Accelerator(deepspeed_plugin={'zero_stage': 2})",
     "Accelerator(deepspeed_plugin={...}) was removed; use DeepSpeedPlugin(hf_ds_config={...})"),
    ("Accelerator(deepspeed_plugin={'a': plugin})", ""),
    ("utils.FullyShardedDataParallelPlugin(optim_state_dict_type='FULL')",
     "FullyShardedDataParallelPlugin(optim_state_dict_type=...) was removed; use "
     "state_dict_type alone"),
    ("FullyShardedDataParallelPlugin(auto_wrap_policy='TRANSFORMER_AUTO_WRAP')",
     'auto_wrap_policy="TRANSFORMER_AUTO_WRAP" was renamed; use "transformer_based_wrap"'),
    ("TrainingArguments('out', evaluation_strategy='steps')",
     "TrainingArguments has no evaluation_strategy; use eval_strategy"),
    ("with init_empty_weights():\n    m = AutoModel.from_pretrained(x)",
     "init_empty_weights around from_pretrained with ZeRO-3; delete it and set zero3_init_flag: true"),
    ("with init_empty_weights():\n    m = AutoModel.from_config(x)", ""),
    ("if accelerator.is_main_process:\n    accelerator.save_state('x')",
     "save_state under is_main_process; all processes must call it, or FSDP2 hangs"),
    ("not a Python script", ""),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), SOURCES)
def test_old_forms_in_the_script_are_noted(source, expected):
    """Old forms in the script are notes at their line; a script with syntax errors is skipped."""
    spec = "script: train.py\nslurm: {gpus: 4}\naccelerate:\n  deepspeed_config: {zero_stage: 3, zero3_save_16bit_model: true}\n"
    line = 3 if "save_state" in source else 2
    assert reported(spec, train_py=f"import os\n{source}\n") == (
        f"note: train.py:{line}: {expected}" if expected else ""
    )


def test_two_optimizers():
    """An optimizer in the JSON and one in the script give a note, except DummyOptim."""
    spec = "script: train.py\nslurm: {gpus: 4}\naccelerate: {deepspeed_config: {deepspeed_config_file: ds.json}}\n"
    config = json.dumps({**ZERO, "optimizer": {"type": "AdamW"}})
    assert "the DeepSpeed JSON has an optimizer" in reported(
        spec, ds_json=config, train_py="torch.optim.AdamW(p)\n"
    )
    assert reported(spec, ds_json=config, train_py="DummyOptim(p)\n") == ""


def test_the_json_of_a_trainer():
    """The JSON of a Trainer's `--deepspeed` is checked in the same way, with its arguments."""
    spec = "script: train.py\nslurm: {gpus: 4}\nargs: {deepspeed: ds.json, bf16: true, gradient_accumulation_steps: 2}\n"
    config = json.dumps({"gradient_accumulation_steps": 8, **ZERO, "fp16": {"enabled": True}})
    assert reported(spec, ds_json=config, train_py=TRAINER) == (
        "ds.json:1: fp16.enabled: accelerate refuses it with mixed_precision: bf16\n"
        '  hint: write "auto" in both fp16.enabled and bf16.enabled\n'
        "ds.json:1: gradient_accumulation_steps: 8 here, but 2 in the spec, which this overrides\n"
        '  hint: write "auto"'
    )
    assert reported(spec, ds_json=config, train_py="import torch\n") == ""
    Path("ds.json").unlink()
    assert reported(spec, train_py=TRAINER).startswith(
        f"job.yaml:3: args.deepspeed: file not found: {Path.cwd()}/ds.json"
    )


def test_a_precision_that_nothing_sets():
    """If nothing fills an "auto" precision of the JSON, training is in fp32, and a note says so."""
    spec = "script: train.py\nslurm: {gpus: 4}\naccelerate: {deepspeed_config: {deepspeed_config_file: ds.json}}\n"
    config = json.dumps({**ZERO, "fp16": {"enabled": "auto"}, "bf16": {"enabled": "auto"}})
    report = "note: ds.json:1: bf16.enabled: mixed_precision is not set, so training runs in fp32"
    assert reported(spec, ds_json=config) == report
    assert reported(f"{spec}args: {{bf16: true}}\n", ds_json=config) == ""
    assert reported(spec, ds_json=config, train_py="Accelerator(mixed_precision='bf16')\n") == ""


def test_zero3_that_cannot_save_its_model():
    """Without 16-bit gathering ZeRO-3 fails in accelerator.get_state_dict: a note says so."""
    spec = "script: train.py\nslurm: {gpus: 4}\naccelerate: {deepspeed_config: {deepspeed_config_file: ds.json}}\n"
    report = reported(spec, ds_json='{\n"zero_optimization": {\n"stage": 3}}')
    assert report.startswith(
        "note: ds.json:3: zero_optimization.stage: without stage3_gather_16bit_weights_on_model_save"
    )


@pytest.mark.parametrize(
    "args", ["{deepspeed: no.json}", "{--deepspeed: no.json}", "[--deepspeed, no.json]"]
)
def test_a_trainer_s_json_is_found(args):
    """The argument is found in every spelling."""
    Path("train.py").write_text("from transformers import TrainingArguments\n")
    assert "args.deepspeed: file not found" in reported(
        f"script: train.py\nargs: {args}\nslurm: {{gpus-per-node: 4}}\n"
    )
