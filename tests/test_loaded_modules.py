"""What the command line and an import must not load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import clusterrun

PACKAGE = Path(clusterrun.__file__).parent

# What a start must not load: torch and similar take seconds, and the others tenths for queries.
TRAINING = {"torch", "transformers", "accelerate", "datasets", "deepspeed", "numpy"}
PLANNING = {"submitit", "pydantic", "yaml", "jinja2"}


def loaded(statement: str, folder: Path, *words: str) -> set[str]:
    """The top-level modules loaded after a statement, in a separate process."""
    program = f"""
import sys
sys.argv = ["clusterrun", *sys.argv[1:]]
try:
    {statement}
except SystemExit:
    pass
print("LOADED", *{{name.split(".")[0] for name in sys.modules}})
"""
    environment = {"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", program, *words], env=environment, text=True, capture_output=True,
                          cwd=folder, check=True)  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    return set(line.split()[1:])


MAIN = "from clusterrun.cli import main; main()"


@pytest.fixture
def ended_run(tmp_path) -> Path:
    events = tmp_path / "runs" / "a-run" / "events"
    events.mkdir(parents=True)
    (events / "attempt-0001.begin").write_text("job_id=7\n")
    (events / "attempt-0001.end").write_text("cause=finished\nnext=end\nexit_code=0\n")
    return tmp_path


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["submit", "--help"], ["status", "--help"], ["list"],
                                   ["status", "runs/a-run"], ["logs", "runs/a-run"], ["wait", "runs/a-run"],
                                   ["stop", "runs/a-run"], ["cancel", "runs/a-run"], ["checkpoints", "runs/a-run"],
                                   ["status", "unknown"]])  # fmt: skip
def test_queries_load_nothing_heavy(ended_run, words):
    """Help, and every command about a run, works without the libraries of planning and training."""
    heavy = TRAINING | (PLANNING if words != ["submit", "--help"] else {"submitit"})
    assert loaded(MAIN, ended_run, *words) & heavy == set()


def test_rendering_loads_no_training_library(ended_run):
    """A script is rendered without torch and submitit."""
    (ended_run / "job.yaml").write_text("script: train.py\n")
    assert loaded(MAIN, ended_run, "render", "job.yaml") & (TRAINING | {"submitit"}) == set()


@pytest.mark.parametrize("statement", ["import clusterrun", "import clusterrun.training"])
def test_importing_loads_nothing_heavy(tmp_path, statement):
    """An import loads only what it uses."""
    assert loaded(statement, tmp_path) & (TRAINING | PLANNING) == set()
