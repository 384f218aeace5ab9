"""Member n of a rendered sweep runs with the argv and the environment of a run with its values."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import render

# Defines the head of a script without running its `main`, then prints what accelerate receives.
RECORDER = """
accelerate() { printf '%s\\0' "$@" > "$RECORD/argv"; env -0 > "$RECORD/env"; }
command() { return 0; }
mkdir -p "$RECORD"
node_dir=/n num_machines=1 main_process_ip=h main_process_port=1
export SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
attempt=0001
clusterrun_step() { :; }
! declare -F select_member >/dev/null || select_member
apply_environment
continue_trackers
program=$(declare -p member_args 2>/dev/null; declare -f launch)
unset member_args
eval "$program"
launch
"""
# Of the sweep itself, and of the shell that records.
OWN = {"WANDB_RUN_GROUP", "WANDB_NAME", "WANDB_RUN_ID", "TENSORBOARD_LOGGING_DIR", "RECORD", "_", "SHLVL",
       "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_JOB_ID"}  # fmt: skip

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=("Cc", "Cs")),
               min_size=1, max_size=12)  # fmt: skip
VALUE = st.one_of(TEXT, st.integers(-5, 5), st.floats(-1, 1), st.booleans(), st.none(),
                  st.lists(TEXT, min_size=1, max_size=3))  # fmt: skip
VARIABLE = st.one_of(TEXT, st.integers(-5, 5), st.booleans())


def recorded(script: str, folder: Path, task: int) -> tuple[list[str], dict[str, str]]:
    """The words and the variables that accelerate receives from a script."""
    text = script.replace('\ninstall_traps\nmain "$@"\n', RECORDER)
    assert text != script
    environment = {
        "PATH": os.environ["PATH"], "RECORD": str(folder), "SLURM_SUBMIT_DIR": "/w", "SLURM_JOB_ID": "7",
        "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task), "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    done = subprocess.run(
        ["bash"], input=text, env=environment, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    words = (folder / "argv").read_bytes().decode().split("\0")[:-1]
    lines = (folder / "env").read_bytes().decode().split("\0")[:-1]
    variables = dict(line.split("=", 1) for line in lines)
    return words, {name: value for name, value in variables.items() if name not in OWN}


def scripts(folder: Path, spec: dict[str, Any], number: int) -> tuple[str, str]:
    """The script of a sweep, and that of one member as `--set` of its values makes it."""
    (folder / "train.py").write_text("print(1)\n")
    text = json.dumps(spec, ensure_ascii=False)
    request = Request("s.yaml", (), "", environment={}, cwd=folder, own_python=False, text=text)
    sweep = prepare(request)
    assert sweep.members is not None
    row = sweep.members.every[number].row
    sets = [f"{one.path}={json.dumps(one.value, ensure_ascii=False)}" for one in row]
    plain = {key: value for key, value in spec.items() if key != "sweep"} | {"name": "plain"}
    text = json.dumps(plain, ensure_ascii=False)
    single = Request(
        "s.yaml", tuple(sets), "", environment={}, cwd=folder, own_python=False, text=text
    )
    return render(make_plan(sweep)), render(make_plan(prepare(single)))


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_member_runs_like_a_run_with_its_values(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    """Its words and its variables equal those of the single run, whatever the values are."""
    folder = tmp_path_factory.mktemp("sweep")
    unique = {"unique_by": lambda one: repr(float(one) if type(one) in (int, float) else one)}
    spec = {
        "name": "s",
        "script": "train.py",
        "args": {"first": "a b", "b": 1, "last": True},
        "environment": {"variables": {"FIXED": "x", "V": "base"}},
        "sweep": {
            "grid": {"args.b": data.draw(st.lists(VALUE, min_size=1, max_size=3, **unique)),
                     "args.new": data.draw(st.lists(VALUE, min_size=1, max_size=2, **unique))},
            "zip": {"environment.variables.V": data.draw(st.lists(VARIABLE, min_size=2, max_size=2, **unique))},
            "cases": [{"args.c": "it's"}, {"args.c": "$HOME", "environment.variables.W": "`id`"}],
        },
    }  # fmt: skip
    number = data.draw(st.integers(0, 3))
    sweep, single = scripts(folder, spec, number)
    assert recorded(sweep, folder / "m", number) == recorded(single, folder / "s", 0)


def test_members_beyond_the_checked_ones_have_their_own_values(tmp_path: Path):
    """A sweep of more members than are checked one by one passes each its own words, too."""
    grid = {f"args.{name}": list(range(6)) for name in "abc"} | {
        "environment.variables.V": ["x", "y"]
    }
    sweep, single = scripts(
        tmp_path, {"name": "s", "script": "train.py", "sweep": {"grid": grid}}, 431
    )
    assert recorded(sweep, tmp_path / "m", 431) == recorded(single, tmp_path / "s", 0)
