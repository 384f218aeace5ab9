"""Any text in a spec is refused or arrives unchanged, also around a checkpoint's path."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterrun.errors import SpecError
from tests.support.bash_functions import run_script
from tests.support.hostile_cases import BASE, FIELDS, Case, accepted, filled, nested
from tests.support.hostile_scripts import check_text, command_line
from tests.support.hostile_values import VALUES

# The places of values in the arguments of a script with its own checkpoints.
OWN_CHECKPOINTS: list[dict[str, Any]] = [
    {"checkpoint.path": "{}"},
    {"checkpoint.path": "{run_dir}/{}*"},
    {"checkpoint.path": "x", "checkpoint.resume": "{}"},
    {"checkpoint.path": "x", "checkpoint.resume": ["--from", "{}", "{checkpoint}"]},
    {"checkpoint.path": "x", "checkpoint.resume": ["{}{checkpoint}{}"]},
]
SHOW_RESUME = """
accelerate() { printf '%s\\0' "$@"; }
prepare_shell() {
  printf '%s\\0' "$run_dir" "$checkpoint_path"
  checkpoint=$CHECKPOINT
  launch
  exit
}
main
"""


@pytest.mark.parametrize("name", VALUES)
def test_a_checkpoint_is_passed_unchanged(tmp_path, name):
    """A pattern, the words around a checkpoint and its name are refused or arrive unchanged."""
    value, checkpoint = VALUES[name], VALUES[name].replace("\0", "")[:60_000]
    for fields in OWN_CHECKPOINTS:
        case = Case(tmp_path, {**fields, "script": "train.py"}, value, "script")
        try:
            plan = case.plan()
        except SpecError:
            continue
        script = check_text(case, plan).removesuffix('main "$@"\n')
        environment = {"PATH": os.environ["PATH"], "CHECKPOINT": checkpoint, "SLURM_JOB_ID": "77"}
        answer = run_script(script + SHOW_RESUME, "-s", cwd=tmp_path, env=environment)
        assert (answer.returncode, answer.stderr) == (0, b"")
        run_dir, pattern, *argv, _ = answer.stdout.decode().split("\0")
        assert pattern == filled(fields["checkpoint.path"], value).replace("{run_dir}", run_dir)
        words = filled(
            fields.get("checkpoint.resume", ["--resume_from_checkpoint", "{checkpoint}"]), value
        )
        words = shlex.split(words) if isinstance(words, str) else words
        handed = [word.replace("{checkpoint}", checkpoint) for word in words] if checkpoint else []
        assert argv[argv.index("train.py") + 1 :] == handed
        assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("texts", [100, pytest.param(1000, marks=pytest.mark.extended)])
def test_any_text_is_refused_or_arrives_unchanged(tmp_path, texts):
    """Any text is refused, or reaches the command line, the environment and the config unchanged."""
    check = given(st.text(max_size=300))(lambda text: arrives(tmp_path, text))
    settings(max_examples=texts, deadline=None)(check)()


def arrives(folder: Path, text: str) -> None:
    fields = {path: FIELDS["script"][path] for path in ANYWHERE}
    case = Case(folder, fields, text, "script")
    case = case.with_fields(accepted(case))
    script = check_text(case, case.plan()).removesuffix('main "$@"\n')
    answer = subprocess.run(
        ["bash", "-c", script + SHOW], capture_output=True, cwd=folder, check=False
    )
    assert answer.returncode == 0, answer.stderr
    *argv, variable, config = answer.stdout.decode().split("\0")
    tree = nested({**BASE, **case.fields}, text)
    assert argv[13:] == command_line(tree)
    assert variable == tree.get("environment", {}).get("variables", {}).get("VALUE", "none")
    assert (
        tree["accelerate"]["deepspeed_config"].items()
        <= yaml.safe_load(config)["deepspeed_config"].items()
    )
    assert not (folder / "canary").exists()


# The fields that accept most texts, and the two functions that use them, called on their own.
ANYWHERE = (
    "args.value",
    "args.values",
    "slurm.comment",
    "accelerate.deepspeed_config.deep",
    "environment.variables.VALUE",
)
SHOW = """
clusterrun_step() { :; }; clusterrun_check() { :; }
accelerate() { printf '%s\\0' "$@"; }
apply_environment
node_dir=.
write_configs
launch
printf '%s\\0' "${VALUE-none}"
cat ./accelerate.yaml
"""
