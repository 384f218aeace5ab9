"""`init`: a first spec from options, and the files that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clusterrun.job_spec import load_spec
from clusterrun.job_spec.writing import write_spec
from clusterrun.job_spec.yaml_text import read_yaml
from clusterrun.starter.files import SCHEMA_FILE
from clusterrun.starter.first_spec import STRATEGIES, SpecRequest, new_spec
from tests.starter.conftest import SCRIPT


def test_a_spec_from_options(desk):
    """It uses the options and defaults, is valid at once, and prints the next command."""
    done = desk.type(
        "init", "--script", "train.py", "--nodes", "2", "--gpus-per-node", "4", "--partition", "gpu"
    )
    assert (done.returncode, done.stdout) == (0, "train.yaml\n")
    assert "fix:" not in done.stderr
    assert all(
        f"  clusterrun {command} train.yaml" in done.stderr
        for command in ("validate", "render", "submit")
    )
    assert (desk.folder / "train.yaml").read_text() == (
        "# yaml-language-server: $schema=.clusterrun.schema.json\n"
        "# All keys: docs/reference/job-spec.md, or `clusterrun schema`.\n"
        "name: train\n"
        "script: train.py\n"
        "# args:                   # the script's arguments and their defaults\n"
        "#   data:                 # required\n"
        "#   learning_rate: 5e-05\n"
        "#   output_dir: results\n"
        "slurm:\n"
        "  nodes: 2\n"
        "  gpus-per-node: 4          # one process per GPU\n"
        "  partition: gpu\n"
        "  time: 12:00:00\n"
        "  chdir: .                  # the working folder, relative to this file; other paths are relative to it\n"
        "accelerate: {mixed_precision: bf16}  # each GPU holds the whole model\n"
        "environment:\n"
        "  venv: venv                # activated on the nodes\n"
        "# checkpoint:             # the script does not import clusterrun.training; if it saves by itself:\n"
        "#   path: results/checkpoint-*   # the newest is passed as --resume_from_checkpoint\n"
    )
    assert desk.type("validate", "train.yaml").returncode == 0
    schema = json.loads((desk.folder / SCHEMA_FILE).read_text())
    assert schema["title"] == "clusterrun job spec"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("gpus", ["4", "0"])
def test_every_strategy_makes_a_valid_spec(tmp_path, strategy, gpus):
    """On GPUs and on CPUs the written spec loads, with the strategy's keys."""
    (tmp_path / "train.py").write_text(SCRIPT)
    slurm = {"nodes": 2, "time": "1-00"} | ({"gpus-per-node": int(gpus)} if gpus != "0" else {})
    request = SpecRequest(
        "train.py", strategy, slurm, environment={"CONDA_PREFIX": "/envs/a", "HF_TOKEN": "x"}
    )
    text = new_spec(request, cwd=tmp_path, folder=tmp_path / "specs")
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "job.yaml").write_text(text)
    loaded = load_spec(tmp_path / "specs" / "job.yaml")
    assert loaded.chdir == str(tmp_path)
    assert loaded.spec.environment.secrets == ("HF_TOKEN",)
    section = loaded.spec.accelerate.model_dump(exclude_none=True)
    assert set(STRATEGIES[strategy][0]) <= set(section)
    assert ("num_processes" in section) == (gpus == "0")


def test_the_scripts_of_the_examples_are_understood(tmp_path):
    """A script with clusterrun.training gets a checkpoint section; a Trainer keeps its precision."""
    examples = Path(__file__).parents[2] / "examples"
    request = SpecRequest("train_causal_lm.py", slurm={"gpus-per-node": 1}, environment={})
    text = new_spec(request, cwd=examples, folder=examples)
    assert "\ncheckpoint: {every: 10min, keep: 3}" in text
    assert "mixed_precision" in text
    trainer = new_spec(
        SpecRequest("train_with_trainer.py", slurm={"gpus-per-node": 1}, environment={}),
        cwd=examples,
        folder=examples,
    )
    assert "mixed_precision" not in trainer


def test_a_file_is_not_overwritten_without_force(desk):
    """Existing files are kept and nothing else is written, unless --force is used."""
    desk.write("mine", "train.yaml")
    done = desk.type("init", "--script", "train.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "--output: train.yaml exists\n  hint: use another -o FILE, or --force to replace it\n"
    )
    assert (desk.folder / "train.yaml").read_text() == "mine"
    assert not (desk.folder / SCHEMA_FILE).exists()
    assert desk.type("init", "--script", "train.py", "--force").returncode == 0
    assert (desk.folder / "train.yaml").read_text() != "mine"


def test_an_unrelated_file_with_the_schemas_name_is_kept(desk):
    desk.write("mine", SCHEMA_FILE)
    assert desk.type("init").returncode == 0
    assert (desk.folder / SCHEMA_FILE).read_text() == "mine"


@pytest.mark.parametrize(("words", "message"), [
    (["--script", "gone.py"], "--script: cannot be read: gone.py"),
    (["--strategy", "zero4"], "--strategy: unknown strategy: zero4"),
    (["--from-sbatch", "gone.sh"], "gone.sh: cannot be read"),
    (["--from-sbatch", "old.sh", "--nodes", "2"], "--from-sbatch: cannot be combined with --nodes"),
    (["-o", "no/such/folder.yaml"], "--output: no/such/folder.yaml: no such file or directory"),
])  # fmt: skip
def test_an_error_is_reported_and_nothing_written(desk, words, message):
    before = sorted(desk.folder.iterdir())
    done = desk.type("init", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert sorted(desk.folder.iterdir()) == before


def test_no_script_and_no_terminal(desk):
    """The only script that trains is used; of several, the message lists them."""
    assert desk.type("init", "-o", "-").stdout.count("script: train.py\n") == 1
    desk.write("import transformers\n", "other.py")
    desk.write("import os\n", "helper.py")
    done = desk.type("init")
    assert (done.returncode, done.stderr) == (
        2,
        "--script: several training scripts found\n  hint: add --script with one of other.py, train.py\n",
    )


def test_values_of_the_profile_are_omitted(desk):
    """Values that the site's profile sets are omitted."""
    desk.write("slurm: {partition: gpu, time: 1-00}\n", "site.yaml")
    shown = desk.type("init", "-o", "-", "--profile", "site.yaml").stdout
    assert "time" not in shown
    assert "gpus-per-node: 1" in shown


@pytest.mark.parametrize("value", ["no", "12:00:00", "3e-4", "a: b", "a #b", "x'y", 'q"r', "", " ", "*", "-x", "[a]", "{a", "a, b", "true",
                                   "null", "007", "é", "a\tb", "@x", "a\nb", "a\\b", "!x", "&y", "%z", "0x1f", "a:", "~", "|"])  # fmt: skip
def test_a_written_spec_reads_back_unchanged(value):
    """Any text survives, as a value, in a list, and in an inline mapping."""
    values = {"name": value, "args": {"k": value, "l": [value, 1]}, "slurm": {"comment": value}}
    assert read_yaml(write_spec(values), "job.yaml").value == values


@pytest.mark.parametrize(
    "words", [["--name", "../elsewhere"], ["--name", ""], ["--script", "b\udcff.py"]]
)
def test_values_that_no_spec_can_hold_are_refused(desk, words):
    """Nothing is written, neither the spec nor other files."""
    before = {*desk.folder.parent.rglob("*.yaml")}
    done = desk.type("init", "--script", "train.py", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{words[0]}: ")
    assert {*desk.folder.parent.rglob("*.yaml")} == before


def test_a_spec_on_stdout_excludes_json(desk):
    """--json and a spec on stdout are mutually exclusive."""
    done = desk.type("init", "--script", "train.py", "-o", "-", "--json")
    assert done.returncode == 2
    assert "cannot be combined with -o -, which writes the spec to stdout" in done.stderr
