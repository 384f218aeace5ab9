"""`init`: a first spec from a few answers or from an old script, and the files that it leaves."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec import load_spec
from clusterrun.job_spec.writing import write_spec
from clusterrun.job_spec.yaml_text import read_yaml
from clusterrun.starter.files import SCHEMA_FILE
from clusterrun.starter.first_spec import STRATEGIES, SpecRequest, new_spec
from clusterrun.starter.sbatch import from_sbatch
from tests.support.cli_desk import Desk

SCRIPT = """\
import argparse
from accelerate import Accelerator
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--learning_rate", type=float, default=5e-5)
parser.add_argument("--output_dir", default="results")
"""
OLD = "#!/bin/bash\n#SBATCH -J old-run -N 2\nexport WANDB_API_KEY=abcdefghij\nsrun accelerate launch train.py --x 1\n"


@pytest.fixture
def desk(tmp_path) -> Desk:
    made = Desk(tmp_path)
    made.write(SCRIPT, "train.py")
    made.write(OLD, "old.sh")
    return made


def test_a_spec_from_options(desk):
    """It uses the options and defaults, is valid at once, and prints the next command."""
    done = desk.type(
        "init", "--script", "train.py", "--nodes", "2", "--gpus-per-node", "4", "--partition", "gpu"
    )
    assert (done.returncode, done.stdout) == (0, "train.yaml\n")
    assert "to mend" not in done.stderr
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
    given = loaded.spec.accelerate.model_dump(exclude_none=True)
    assert set(STRATEGIES[strategy][0]) <= set(given)
    assert ("num_processes" in given) == (gpus == "0")


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


def test_questions_on_a_terminal(desk):
    """Questions go to stderr, only for missing options; empty means default; stdout stays data."""
    answers = ["", "zero2", "2", "", "", "1-00"]
    main, other = pty.openpty()
    words = [
        sys.executable,
        "-m",
        "clusterrun",
        "init",
        "--gpus-per-node",
        "0",
        "--account",
        "mine",
        "-o",
        "job.yaml",
    ]
    process = subprocess.Popen(
        words,
        env=desk.environment,
        cwd=desk.folder,
        stdin=other,
        stderr=other,
        stdout=subprocess.PIPE,
    )
    os.close(other)
    os.write(main, "".join(f"{answer}\n" for answer in answers if answer != "unasked").encode())
    shown = b""
    while select.select([main], [], [], 20)[0]:
        try:
            shown += os.read(main, 4096)
        except OSError:  # the other side is closed
            break
    assert process.wait(20) == 0
    assert process.stdout is not None
    assert process.stdout.read() == b"job.yaml\n"
    process.stdout.close()
    os.close(main)
    text = shown.decode()
    assert [
        question in text
        for question in (
            "training script [train.py]",
            "strategy: ddp, ",
            "nodes [1]",
            "partition (",
        )
    ] == [True] * 4
    assert "GPUs of each node" not in text
    spec = load_spec(desk.folder / "job.yaml").spec
    assert (spec.script, spec.slurm.nodes, spec.slurm.account) == ("train.py", "2", "mine")
    assert (spec.accelerate.deepspeed_config or {})["zero_stage"] == 2


def test_the_end_of_the_input_ends_it(desk):
    """Ctrl-D at a question writes nothing."""
    main, other = pty.openpty()
    words = [sys.executable, "-m", "clusterrun", "init"]
    os.write(main, b"\x04")
    done = subprocess.run(
        words,
        env=desk.environment,
        cwd=desk.folder,
        stdin=other,
        stderr=other,
        stdout=subprocess.PIPE,
        check=False,
    )
    os.close(other), os.close(main)
    assert (done.returncode, done.stdout) == (2, b"")
    assert not list(desk.folder.glob("*.yaml"))


def test_from_sbatch_reports_its_mistakes(desk):
    """Each mistake has its line and a hint; the spec is written, and missing values are named."""
    done = desk.type("init", "--from-sbatch", "old.sh")
    assert (done.returncode, done.stdout) == (0, "old-run.yaml\n")
    assert "old.sh:3: secret: the value of WANDB_API_KEY is in the script" in done.stderr
    assert "old.sh:4: kill-on-bad-exit: " in done.stderr
    assert "wrote old-run.yaml" in done.stderr
    text = (desk.folder / "old-run.yaml").read_text()
    assert "secrets: [WANDB_API_KEY]" in text
    assert "abcdefghij" not in text + done.stderr
    assert desk.type("validate", "old-run.yaml").returncode == 0


def test_a_spec_in_another_folder(desk):
    """`cd` is relative to the submission folder in the script, to the spec's folder in the spec."""
    for folder in ("specs", "code"):
        (desk.folder / folder).mkdir()
    desk.write(OLD.replace("srun", "cd code\nsrun"), "old.sh")
    assert desk.type("init", "--from-sbatch", "old.sh", "-o", "specs/job.yaml").returncode == 0
    assert load_spec(desk.folder / "specs" / "job.yaml").chdir == str(desk.folder / "code")
    assert (desk.folder / "specs" / SCHEMA_FILE).exists()


def test_from_sbatch_as_json(desk):
    """--json prints the same as one object, and stdout has nothing else."""
    done = desk.type("init", "--from-sbatch", "old.sh", "--json")
    answer = json.loads(done.stdout)
    assert (done.stderr, answer["file"], [*answer]) == (
        "",
        "old-run.yaml",
        ["file", "text", "mistakes", "notes", "problems", "check"],
    )
    assert {"where": "old.sh:3", "key": "secret"}.items() <= next(
        one for one in answer["mistakes"] if one["key"] == "secret"
    ).items()


def test_from_sbatch_is_a_function_too(desk):
    draft = from_sbatch(desk.folder / "old.sh", environment={}, cwd=desk.folder)
    assert (draft.values["script"], draft.values["args"]) == ("train.py", {"x": 1})
    with pytest.raises(SpecError, match="cannot be read"):
        from_sbatch(desk.folder / "gone.sh")


@pytest.mark.parametrize(("text", "message"), [
    ("#!/bin/bash\nif true; then\n", "odd.sh:3: bash syntax error: "),
    ("#!/usr/bin/env python\nprint(1)\n", "odd.sh:1: starts with '#!/usr/bin/env python'"),
    ("#!/bin/bash\r\npython t.py\r\n", "odd.sh: has DOS line breaks, which sbatch refuses"),
    ("#!/bin/bash\necho hello\n", "odd.sh: no training command found"),
])  # fmt: skip
def test_a_script_that_bash_cannot_run(desk, text, message):
    """A script that sbatch could not run is refused, with the line."""
    desk.write(text, "odd.sh")
    done = desk.type("init", "--from-sbatch", "odd.sh")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)


def test_without_the_parser_a_hint_is_printed(desk):
    """If tree-sitter is missing, the message says what to install, and other modes work."""
    (desk.folder / "tree_sitter_bash.py").write_text(
        "raise ImportError('no module of that name')\n"
    )
    done = desk.type("init", "--from-sbatch", "old.sh")
    assert (done.returncode, done.stdout) == (1, "")
    assert "hint: run pip install 'clusterrun[sbatch]'" in done.stderr
    assert desk.type("init").returncode == 0


@pytest.mark.parametrize("value", ["no", "12:00:00", "3e-4", "a: b", "a #b", "x'y", 'q"r', "", " ", "*", "-x", "[a]", "{a", "a, b", "true",
                                   "null", "007", "é", "a\tb", "@x", "a\nb", "a\\b", "!x", "&y", "%z", "0x1f", "a:", "~", "|"])  # fmt: skip
def test_what_is_written_reads_back(value):
    """Any text survives, as a value, in a list, and in an inline mapping."""
    values = {"name": value, "args": {"k": value, "l": [value, 1]}, "slurm": {"comment": value}}
    assert read_yaml(write_spec(values), "job.yaml").value == values


@pytest.mark.parametrize(
    "words", [["--name", "../elsewhere"], ["--name", ""], ["--script", "b\udcff.py"]]
)
def test_what_no_spec_can_hold_is_refused(desk, words):
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


def test_the_page_is_current(desk):
    """The script, the messages and the spec on docs/start/from-sbatch.md are current."""
    page = (Path(__file__).parents[2] / "docs" / "start" / "from-sbatch.md").read_text()
    script = page.split("```bash\n")[1].split("```")[0]
    expected = page.split("$ clusterrun init --from-sbatch train.sh\n")[1].split("```")[0]
    spec = page.split("```yaml\n")[1].split("```")[0]
    desk.write(script, "train.sh")
    done = desk.type("init", "--from-sbatch", "train.sh")
    assert done.stderr + done.stdout == expected
    assert (desk.folder / "sft-llama.yaml").read_text() == spec
