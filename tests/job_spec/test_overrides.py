"""Profile, `--set` and the shell: which value wins, and where it is from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from tests.support.loaded_specs import load, profiled

pytestmark = pytest.mark.usefixtures("folder")


def test_layers_override_each_other():
    """The spec overrides the profile's defaults key by key, and --set overrides both."""
    profile = "slurm: {partition: gpu, time: 60, qos: low, mail-type: END}\ncheckpoint: {keep: 5}\n"
    spec = profiled(
        profile, "slurm: {time: 30, mail_type: FAIL}", overrides=["slurm.qos=high", "slurm.time=10"]
    )
    slurm = spec.slurm
    assert (slurm.partition, slurm.time, slurm.qos) == ("gpu", "10", "high")
    assert slurm.model_extra == {"mail_type": "FAIL"}
    assert spec.checkpoint.keep == 5


def test_mappings_below_a_section_are_merged_and_lists_are_replaced():
    """Variables of profile and spec are merged; a list in the spec replaces the profile's."""
    profile = "environment: {modules: [cuda/12.4], variables: {A: 1, B: 1}}\n"
    environment = profiled(profile, "environment: {modules: [rocm], variables: {B: 2}}").environment
    assert environment.modules == ("rocm",)
    assert environment.variables == {"A": "1", "B": "2"}


@pytest.mark.parametrize("spec", ["slurm: {partition: null, nodes: ~}", "slurm: null", "slurm:"])
def test_null_restores_the_default(spec):
    """null restores the default, whether or not a profile set the value."""
    assert (
        profiled("slurm: {partition: gpu, nodes: 2}\n", spec).slurm
        == load(spec).slurm
        == load("").slurm
    )


def test_the_shell_is_the_lowest_layer():
    """The active virtual environment counts only if neither profile nor spec selects a Python."""
    shell = {"venv": "/home/ada/venv"}
    assert load("", shell=shell).environment.venv == "/home/ada/venv"
    assert (
        load("environment: {variables: {A: 1}}", shell=shell).environment.venv == "/home/ada/venv"
    )
    for harmless in (
        "setup: ulimit -n 65536",
        "setup: [export LD_LIBRARY_PATH=/opt/lib, mkdir -p ./data]",
    ):
        assert (
            load(f"environment: {{{harmless}}}", shell=shell).environment.venv == "/home/ada/venv"
        )
    lines = (
        ". env.sh",
        "[ulimit -n 65536, . env.sh]",
        "module load python",
        "export PATH=/opt/bin:$PATH",
        "'eval $(pixi hook)'",
    )
    for decided in (
        "venv: .venv",
        "conda: base",
        "modules: [python]",
        *(f"setup: {line}" for line in lines),
    ):
        assert load(f"environment: {{{decided}}}", shell=shell).environment.venv in (None, ".venv")
    assert profiled("environment: {conda: base}\n", shell=shell).environment.venv is None


def test_a_profile_sets_the_run_root(monkeypatch):
    """run_root expands `~` and variables; without it runs are below the working folder."""
    monkeypatch.setenv("SCRATCH", "/scratch/ada")
    for text, expected in {
        "$SCRATCH/runs": "/scratch/ada/runs",
        "~/runs": "/home/ada/runs",
        "": "runs",
    }.items():
        Path("site.yaml").write_text(f"run_root: {text}\n")
        Path("job.yaml").write_text("script: a.py\n")
        assert load_spec("job.yaml", profile="site.yaml").run_root == expected
    assert load_spec("job.yaml").run_root == "runs"


OVERRIDES: list[tuple[str, Any]] = [
    ("args.lr=3e-4", {"lr": "3e-4"}),
    ("args.bf16=true", {"bf16": True}),
    ("args.bf16='true'", {"bf16": "true"}),
    ("args.betas=[0.9, 0.95]", {"betas": ("0.9", "0.95")}),
    ("args.model.lora.r=8", {"model.lora.r": "8"}),
    ("args.text=a=b", {"text": "a=b"}),
    ("args.time=12:00:00", {"time": "12:00:00"}),
    ("args.lr=", {"lr": None}),
    ("args={a: 1}", {"a": "1"}),
]


@pytest.mark.parametrize(("override", "args"), OVERRIDES)
def test_a_set_value_is_read_as_in_the_file(override, args):
    """--set KEY=VALUE reads VALUE as the file would, and dots lead into the spec."""
    assert load("", overrides=[override]).args == args


def test_a_set_reaches_every_depth():
    """--set accepts sbatch's dashes, single variables and keys inside a strategy's section."""
    spec = load("accelerate: {deepspeed_config: {zero_stage: 2, offload: none}}", overrides=[
        "slurm.gpus-per-node=8", "environment.variables.A.B=1".replace(".B", ""), "slurm.nodes=2",
        "accelerate.deepspeed_config.zero_stage=3", "slurm.gpus-per-node=4",
    ])  # fmt: skip
    assert (spec.slurm.gpus_per_node, spec.slurm.nodes) == ("4", "2")
    assert spec.environment.variables == {"A": "1"}
    assert spec.accelerate.deepspeed_config == {"zero_stage": 3, "offload": "none"}


def test_a_loaded_spec_knows_the_lines_of_its_keys():
    """Each key has its line, including keys from --set or a profile."""
    Path("site.yaml").write_text("slurm:\n  partition: gpu\n")
    Path("job.yaml").write_text("script: a.py\nslurm:\n  gpus-per-node: 4\n")
    loaded = load_spec("job.yaml", profile="site.yaml", overrides=["slurm.time=5"])
    assert loaded.line_of("slurm", "gpus_per_node") == "job.yaml:3"
    assert loaded.line_of("slurm", "partition") == "site.yaml:2"
    assert loaded.line_of("slurm", "time") == "--set slurm.time"
    assert loaded.line_of("slurm", "qos") == "job.yaml:2"
    assert loaded.line_of("requeue", "on") == "job.yaml:1"


DEFAULTS: list[tuple[str, str, str, object]] = [
    # the profile, the spec, a field, and its final value
    ("accelerate: {mixed_precision: bf16, debug: true}", "command: hostname", "accelerate.mixed_precision", None),
    ("accelerate: {mixed_precision: bf16}", "script: a.py\naccelerate: {config_file: a.yaml}",
     "accelerate.mixed_precision", None),
    ("accelerate: {num_processes: 4}", "script: a.py\naccelerate: {config_file: a.yaml}", "accelerate.num_processes", 4),
    ("accelerate: {config_file: site.yaml}", "script: a.py\naccelerate: {debug: true}", "accelerate.config_file", None),
    ("accelerate: {config_file: a.yaml}", "script: a.py\naccelerate: {num_processes: 4}",
     "accelerate.config_file", "a.yaml"),
    ("accelerate: {fsdp_config: {fsdp_version: 2}}", "script: a.py\naccelerate: {deepspeed_config: {zero_stage: 2}}",
     "accelerate.fsdp_config", None),
    ("slurm: {mem: 8G}", "script: a.py\nslurm: {mem-per-gpu: 4G}", "slurm.mem", None),
    ("environment: {conda: base}", "script: a.py\nenvironment: {venv: .venv}", "environment.conda", None),
    ("checkpoint: {resume: '--ckpt {checkpoint}'}", "command: hostname\ncheckpoint: {path: x-*}",
     "checkpoint.resume", ("--resume_from_checkpoint", "{checkpoint}")),
    ("checkpoint: {resume: '--ckpt {checkpoint}'}", "script: a.py\ncheckpoint: {path: x-*}",
     "checkpoint.resume", ("--ckpt", "{checkpoint}")),
    ("checkpoint: {resume: '--ckpt {checkpoint}'}", "script: a.py",
     "checkpoint.resume", ("--resume_from_checkpoint", "{checkpoint}")),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "text", "field", "value"), DEFAULTS)
def test_a_conflicting_default_is_dropped(profile, text, field, value):
    """A value of the profile alone is dropped if it conflicts with the spec."""
    Path("site.yaml").write_text(profile)
    Path("job.yaml").write_text(text)
    section, name = field.split(".")
    assert getattr(getattr(load_spec("job.yaml", profile="site.yaml").spec, section), name) == value


def test_a_conflict_inside_a_profile_is_reported():
    """Mutually exclusive fields of a profile are an error of the profile."""
    with pytest.raises(
        SpecError, match=r"^site.yaml:1: slurm.mem-per-cpu: cannot be combined with mem"
    ):
        profiled("slurm: {mem: 8G, mem-per-cpu: 1G}\n")


def test_a_profile_may_share():
    """A user or a site may share every run with the group, and a spec may undo that."""
    assert profiled("share: group\n").share == "group"
    assert profiled("share: group\n", "share: null").share is None
