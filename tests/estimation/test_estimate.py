"""`clusterrun estimate`, and the warning of `submit`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun import cli
from clusterrun.estimation.states import TABLE

LLAMA_8B = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}  # fmt: skip
SPEC = """\
script: train.py
args: {model_name_or_path: models/llama-8b, per_device_train_batch_size: 2, block_size: 4096}
slurm: {partition: gpu, nodes: 2, gpus-per-node: 4, time: "12:00:00"}
accelerate: {mixed_precision: bf16, deepspeed_config: {zero_stage: 2}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with a job, a model config and a profile, on a machine without Slurm."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to(str(shutil.which("bash")))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("CLUSTERRUN_PROFILE", "XDG_CONFIG_HOME", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    Path("models/llama-8b").mkdir(parents=True)
    Path("models/llama-8b/config.json").write_text(json.dumps(LLAMA_8B))
    Path("job.yaml").write_text(SPEC)
    Path("train.py").touch()
    Path("site.yaml").write_text("gpu_memory: {gpu: 80GB, a100: 40GB}\n")
    return tmp_path


@pytest.fixture
def estimate(capsys):
    """Run `clusterrun estimate` with these arguments and return its JSON."""

    def run(*words: object) -> dict[str, object]:
        assert cli.main(["estimate", *map(str, words), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def by_name(found: dict, key: str) -> dict[str, float]:
    return {one["name"]: one[key] for one in found["strategies"]}


def refused(capsys, *words: object) -> str:
    assert cli.main(["estimate", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_count_of_parameters_is_enough(capsys):
    """The table has the numbers of the ZeRO paper, without a spec or a profile."""
    assert cli.main(["estimate", "--parameters", "7.5B", "--gpus", "64"]) == 0
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split() for line in out.splitlines()[2:8]}
    assert [rows[name][4] for name in ("DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3", "FSDP")] == [
        "120.0",
        "31.4",
        "16.6",
        "1.9",
        "1.9",
    ]
    assert "FITS" not in out
    assert "activations are not counted; pass --config and --sequence to count them" in err


def test_everything_is_read_from_the_spec(estimate):
    """GPUs, hours, model, precision, strategy and memory are read from the spec and the profile."""
    answer = estimate("job.yaml", "--profile", "site.yaml")
    assert {key: answer[key] for key in ("parameters", "gpus", "mixed_precision", "gpu_memory", "gpu_hours", "strategy")} == {
        "parameters": 8030261248, "gpus": 8, "mixed_precision": "bf16", "gpu_memory": 80 * 10**9, "gpu_hours": 96.0,
        "strategy": "ZeRO-2",
    }  # fmt: skip
    assert all(by_name(answer, "activations").values())
    assert by_name(answer, "fits")["ZeRO-2"] == "no"
    assert answer["suggested_change"] == "activation checkpointing"


def test_the_advice_fits(estimate):
    """A run that follows the advice fits."""
    assert (
        by_name(estimate("job.yaml", "--profile", "site.yaml", "--checkpointing"), "fits")["ZeRO-2"]
        == "yes"
    )


def test_options_override_the_spec(estimate):
    """An option overrides the spec; without the option the spec's value counts."""
    spec, typed = (
        estimate("job.yaml"),
        estimate("job.yaml", "--batch", 4, "--gpus", 16, "--gpu-memory", "141GB"),
    )
    assert (typed["gpus"], typed["gpu_memory"], typed["parameters"]) == (
        16,
        141 * 10**9,
        spec["parameters"],
    )
    assert by_name(typed, "activations")["DDP"] == 2 * by_name(spec, "activations")["DDP"]
    assert by_name(typed, "model_states")["ZeRO-3"] == pytest.approx(
        by_name(spec, "model_states")["ZeRO-3"] / 2
    )
    assert typed["gpu_hours"] == 2 * spec["gpu_hours"]


@pytest.mark.parametrize(("override", "key", "value"), [
    ("slurm.gpus-per-node=a100:4", "gpu_memory", 40 * 10**9),
    ("slurm.partition=other", "gpu_memory", None),
    ("slurm.partition=null", "gpu_memory", None),
    ("slurm.time=UNLIMITED", "gpu_hours", None),
    ("slurm.nodes=4", "gpus", 16),
    ("args.bf16=true", "mixed_precision", "bf16"),
    ("accelerate.mixed_precision=no", "mixed_precision", "no"),
    ("accelerate.deepspeed_config=null", "strategy", "DDP"),
    ("accelerate={deepspeed_config: null, fsdp_config: {fsdp_version: 2}}", "strategy", "FSDP"),
    ("args=[--model_name_or_path, models/llama-8b, --block_size=128, --bf16]", "parameters", 8030261248),
    ("args={model_name_or_path: models/llama-8b, attn_implementation: eager}", "parameters", 8030261248),
    ("args={config-name: models/llama-8b/config.json}", "parameters", 8030261248),
])  # fmt: skip
def test_each_key_of_a_spec_is_read(estimate, override, key, value):
    """A change of the spec changes the result."""
    assert estimate("job.yaml", "--profile", "site.yaml", "--set", override)[key] == value


@pytest.mark.parametrize("argument", ["gradient_checkpointing: true", "activation_checkpointing: true", "block_size: 1024",
                                      "per-device-train-batch-size: 1", "attn_implementation: sdpa"])  # fmt: skip
def test_arguments_that_spare_memory_are_read(estimate, argument):
    """Each of them reduces the activations of a run with eager attention."""
    name, value = argument.split(": ")
    before = by_name(estimate("job.yaml", "--set", "args.attn_implementation=eager"), "activations")
    words = ["--set", "args.attn_implementation=eager", "--set", f"args.{name}={value}"]
    if name.startswith("per-device"):
        words += ["--set", "args.per_device_train_batch_size=null"]
    assert by_name(estimate("job.yaml", *words), "activations")["ZeRO-2"] < before["ZeRO-2"]


@pytest.mark.parametrize(("gpus", "count"), [
    ("gpus: 8", 8), ("gres: 'gpu:a100:4,tmp:1'", 8), ("gpus-per-task: h100:2", 4), ("tres-per-task: 'gres/gpu:2'", 4),
    ("cpus-per-task: 4", 2),
])  # fmt: skip
def test_gpus_are_counted_in_every_form_of_sbatch(estimate, gpus, count):
    """Without GPUs the number of processes counts."""
    Path("job.yaml").write_text(f"script: train.py\nslurm: {{nodes: 2, {gpus}}}\n")
    assert estimate("job.yaml", "--parameters", "1B")["gpus"] == count


@pytest.mark.parametrize("strategy", TABLE[1:], ids=lambda one: one.name)
def test_the_advice_makes_a_valid_spec(estimate, strategy):
    """The advice can be pasted under `accelerate`, and is read as intended."""
    answer = estimate(
        "job.yaml",
        "--set",
        "accelerate.deepspeed_config=null",
        "--set",
        f"accelerate={{{strategy.words}}}",
    )
    assert answer["strategy"] == strategy.name


def test_files_that_the_spec_names_are_read(estimate):
    """An accelerate config and a DeepSpeed JSON set the strategy and the precision."""
    zero = {"stage": 3, "offload_optimizer": {"device": "cpu"}}
    Path("ds.json").write_text(json.dumps({"bf16": {"enabled": True}, "zero_optimization": zero}))
    Path("fsdp.yaml").write_text(
        "distributed_type: FSDP\nmixed_precision: fp16\nfsdp_config: {fsdp_activation_checkpointing: true}\n"
    )
    base = "script: train.py\nargs: {block_size: 512}\nslurm: {gpus-per-node: 2}\naccelerate: "
    Path("job.yaml").write_text(base + "{deepspeed_config: {deepspeed_config_file: ds.json}}\n")
    answer = estimate("job.yaml", "--config", "models/llama-8b")
    assert (answer["strategy"], answer["mixed_precision"]) == ("ZeRO-3, optimizer on CPU", "bf16")
    plain = by_name(answer, "activations")["FSDP"]
    Path("job.yaml").write_text(base + "{config_file: fsdp.yaml}\n")
    answer = estimate("job.yaml", "--config", "models/llama-8b")
    assert (answer["strategy"], answer["mixed_precision"]) == ("FSDP", "fp16")
    assert by_name(answer, "activations")["FSDP"] < plain


def test_an_unknown_model_is_requested(capsys):
    """The error has the argument's line, and names the options that help."""
    Path("job.yaml").write_text(SPEC.replace("models/llama-8b", "org/model"))
    err = refused(capsys, "job.yaml")
    assert err.startswith(
        "job.yaml:2: args.model_name_or_path: no config.json of org/model on this machine"
    )
    assert "--parameters" in err
    assert "--config" in err
    Path("job.yaml").write_text("script: train.py\n")
    assert "job.yaml:1: args: no model found" in refused(capsys, "job.yaml")
    assert "nothing to estimate" in refused(capsys)


@pytest.mark.parametrize("words", [["--parameters", "7X"], ["--parameters", "0"], ["--parameters", "1e400"],
                                   ["--parameters", "7B", "--gpus", "0"], ["--parameters", "7B", "--gpu-memory", "80"],
                                   ["--parameters", "7B", "--config", "models"]])  # fmt: skip
def test_invalid_numbers_are_refused(capsys, words):
    """A meaningless number exits with argparse's own code."""
    with pytest.raises(SystemExit) as error:
        cli.main(["estimate", *words])
    assert error.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "what"), [
    ("80", "must be a size"), ("80 apples", "is not a size"), ("{gpu: 0GB}", "is not a size\n  hint: write 80GB"),
    ("[80GB]", "must be a size"),
])  # fmt: skip
def test_an_invalid_memory_in_a_profile_is_reported(capsys, value, what):
    """It is reported at its line, like every error."""
    Path("site.yaml").write_text(f"share: group\ngpu_memory: {value}\n")
    err = refused(capsys, "job.yaml", "--profile", "site.yaml")
    assert err.startswith("site.yaml:2: gpu_memory: ")
    assert what in err


def test_a_spec_has_no_gpu_memory(capsys):
    """GPU memory belongs to the site, so it is set in the profile."""
    assert "gpu_memory: not allowed in a job spec" in refused(
        capsys, "job.yaml", "--set", "gpu_memory=80GB"
    )


def submitted(capsys, *words: str) -> str:
    """Return stderr of `submit --dry-run` on a machine without Slurm; the command must succeed."""
    assert cli.main(["submit", "--dry-run", "job.yaml", *words]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("#!")
    return err


DDP = ("--set", "accelerate.deepspeed_config=null")


def test_submit_warns_of_a_run_that_cannot_fit(capsys):
    """States of 128 GB on 80 GB GPUs give a warning with a fix, and the run is still submitted."""
    err = submitted(capsys, "--profile", "site.yaml", *DDP)
    assert "warning: the run cannot fit: DDP needs 128.5 GB per GPU" in err
    assert "hint: use ZeRO-2" in err


@pytest.mark.parametrize("words", [
    ["--profile", "site.yaml"],  # its states fit
    [*DDP],  # the memory is unknown
    ["--profile", "site.yaml", *DDP, "--set", "args.model_name_or_path=unknown/model"],
    ["--profile", "site.yaml", *DDP, "--set", "args.model_name_or_path=models"],
    ["--profile", "site.yaml", "--set", "accelerate={deepspeed_config: null, megatron_lm_config: {megatron_lm_tp_degree: 2}}"],
    ["--profile", "site.yaml", "--set", "slurm.partition=other", *DDP],
])  # fmt: skip
def test_submit_does_not_warn_without_all_facts(capsys, words):
    """Submit warns only if model, strategy and memory are known and the states alone do not fit."""
    assert "cannot fit" not in submitted(capsys, *words)


def test_a_broken_config_does_not_block_submit(capsys):
    """A failed estimate does not block a submission."""
    for text in ("{", "[]", '{"model_type": "llama", "hidden_size": "x"}', "\x00"):
        Path("models/llama-8b/config.json").write_text(text)
        assert "cannot fit" not in submitted(capsys, "--profile", "site.yaml", *DDP)


def test_estimating_loads_no_training_library():
    """The command works on a login node without torch and transformers."""
    program = "import sys; from clusterrun.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, "estimate", "job.yaml", "--json"], text=True,
                          capture_output=True, check=True, env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])})  # fmt: skip
    heavy = {"torch", "transformers", "accelerate", "deepspeed", "numpy", "submitit"}
    assert heavy & set(done.stdout.splitlines()[-1].split()) == set()
