"""How often each command loads, reads, prepares, plans, renders and starts bash: once."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterrun.job_spec import JobSpec, Loaded
from clusterrun.local import kill_processes, supervisor_lives
from clusterrun.planning.launch import Launch
from clusterrun.planning.plan import Identity, LaunchPlan
from clusterrun.planning.preparation import Prepared, Request
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_status.file_status import RunStatus
from tests.support.cli_desk import Desk
from tests.support.rehearsals import counting

# Counts calls by their code objects, whichever module holds the function.
COUNTING = """
import json, os, subprocess, sys
from clusterrun.planning.bash_syntax import script_fault, syntax_faults
from clusterrun.planning.launch import make_launch
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import prepare
from clusterrun.planning.script import render
from clusterrun.job_spec.load import load_spec
from clusterrun.training_script.reading import parse_script, read_script_text

functions = (load_spec, read_script_text, parse_script, prepare, make_launch, make_plan, render, syntax_faults,
             script_fault)
names = {function.__code__: function.__name__ for function in functions}
counts = dict.fromkeys([*names.values(), "opened", "bash"], 0)
popen = subprocess.Popen.__init__.__code__

def look(frame, event, arg):
    if event == "call" and frame.f_code in names:
        counts[names[frame.f_code]] += 1
    elif event == "call" and frame.f_code is popen:
        counts["bash"] += os.path.basename(frame.f_locals["args"][0]) == "bash"

def count_open(event, arguments):
    # whoever opens the script, through whatever function
    if event == "open" and os.path.basename(str(arguments[0])) == "train.py":
        counts["opened"] += 1

def counted(work):
    sys.addaudithook(count_open)
    sys.setprofile(look)
    try:
        return work()
    finally:
        sys.setprofile(None)
"""
COMMAND = f"""{COUNTING}
from clusterrun.cli import main
code = counted(main)
print(json.dumps([code, counts]), file=open(os.environ["COUNTS"], "w"))
"""

# `syntax_faults` starts one bash for all shell lines of the spec, `script_fault` one per script.
NAMES = (
    "load_spec",
    "opened",
    "read_script_text",
    "parse_script",
    "prepare",
    "make_launch",
    "make_plan",
    "render",
    "syntax_faults",
    "script_fault",
    "bash",
)
# The training script: opened by anyone, read and parsed by its reader.
#                              load open read parse prepare launch plan render lines script bash
TABLE = [
    ("validate",                (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
    ("validate --json",         (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
    ("render",                  (1,   1,   1,   1,    1,      1,    1,    1,    1,    0,     1)),
    ("render --explain",        (1,   1,   1,   1,    1,      1,    0,    0,    1,    0,     1)),
    ("estimate",                (1,   1,   1,   1,    1,      1,    0,    0,    1,    0,     1)),
    ("estimate --parameters 7B", (1,  1,   1,   1,    1,      1,    0,    0,    1,    0,     1)),
    ("submit --dry-run",        (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
    ("submit",                  (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
    ("submit --local",          (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
    ("rehearse",                (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
    ("resume",                  (1,   1,   1,   1,    1,      1,    1,    1,    1,    1,     2)),
]  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with stand-ins for Slurm's commands, and a spec with a script and shell lines."""
    made = Desk(tmp_path)
    made.command("sbatch", '[ "$1" = --test-only ] || echo "Submitted batch job 7"')
    for name in ("srun", "squeue", "sacct", "scancel", "scontrol"):
        made.command(name, "")
    made.write("run_root: runs\ngpu_memory: 80GB\n", "site.yaml")
    made.write("transformers.GPT2Config(n_layer=2)\n", "train.py")
    made.write("script: train.py\nenvironment: {setup: [umask 077, 'true']}\nnode_check: 'true'\n")
    yield made
    for folder in (tmp_path / "runs").glob("*"):
        give_up = time.monotonic() + 30
        while supervisor_lives(RunPaths(folder)) and time.monotonic() < give_up:
            time.sleep(0.1)
        kill_processes(str(folder))


def counts_of(desk: Desk, *words: str, **environment: str) -> dict[str, int]:
    """Run a command; return how often each function was called, and bash was started."""
    file = desk.folder / "counts.json"
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words], cwd=desk.folder, text=True, capture_output=True, check=False,
        env=desk.environment | {"COUNTS": str(file)} | environment,
    )  # fmt: skip
    assert file.exists(), done.stderr
    code, counts = json.loads(file.read_text())
    assert code == (words[0] == "rehearse"), done.stderr  # whose job leaves the queue at once here
    return counts


@pytest.mark.parametrize(("command", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_each_step_is_taken_once(desk: Desk, command: str, expected: tuple[int, ...]) -> None:
    """Each intermediate value is passed on, and never computed again."""
    verb, *options = command.split()
    name, environment = "job.yaml", {}
    if verb == "resume":
        assert desk.type("submit", "job.yaml").returncode == 0
        (run,) = Index(desk.environment).all()
        run.paths.begin("0001").write_text("job_id=7\n")
        run.paths.end("0001").write_text("cause=crash\nnext=end\nexit_code=1\n")
        name = run.run_id
    if "--local" in options:
        environment = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}
    counts = counts_of(desk, verb, name, *options, **environment)
    assert counts == dict(zip(NAMES, expected, strict=True))


def test_values_passed_on_are_immutable() -> None:
    """From the request to the status all values are immutable, and a prepared run has no effects."""
    kinds = (Request, Loaded, Prepared, Launch, Identity, LaunchPlan, RunRef, RunStatus)
    assert [kind.__name__ for kind in kinds if not kind.__dataclass_params__.frozen] == []
    assert JobSpec.model_config["frozen"]
    fields = {field.name for field in dataclasses.fields(Prepared)}
    assert {name for name in vars(Prepared) if not name.startswith("__")} <= fields


def test_an_interrupted_submission_repeats_no_step(desk: Desk) -> None:
    """The second try after a silent sbatch finds a complete folder, and repeats no step either."""
    desk.command("sbatch", "echo; exit 0")
    assert desk.type("submit", "job.yaml").returncode == 1
    desk.command("sbatch", 'echo "Submitted batch job 7"')
    assert set(counts_of(desk, "submit", "job.yaml").values()) == {1, 2}
    assert len(list((desk.folder / "runs").iterdir())) == 1


@pytest.mark.extended
def test_a_rehearsal_prepares_each_of_its_runs_once(tmp_path: Path) -> None:
    """A spec with a command is prepared once for both runs; each has a plan, a script and a check."""
    request = counting(tmp_path, "survives")
    program = f"""{COUNTING}
from pathlib import Path
from clusterrun.planning.preparation import Request
from clusterrun.rehearsal.rehearsing import rehearse
request = Request({request.source!r}, profile={request.profile!r}, environment={dict(request.environment)!r},
                  cwd=Path({str(request.cwd)!r}))
found = counted(lambda: rehearse(request, local=True, timeout=240))
print(json.dumps([found.outcome, counts]))
"""
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome, counts = json.loads(done.stdout)
    assert outcome == "survived"
    assert counts == dict(zip(NAMES, (1, 0, 3, 0, 1, 1, 2, 2, 1, 2, 3), strict=True))
