"""The keys of `environment`, in the order in which a job uses them.

conda is not installed on the machines of the tests: a stand-in, a folder with etc/profile.d/conda.sh
that changes PATH as `conda activate` does. micromamba is one, too; modules are bash functions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clusterrun.job_spec import load_spec
from clusterrun.planning.script import render
from tests.functions.test_user_shell import FAKES, SRUN
from tests.support.planned import plan_of

CONDA = """conda() {
  [ "$1 $2" = "activate train" ] || { echo "EnvironmentNameNotFound: $2" >&2; return 1; }
  export CONDA_PREFIX=BASE/envs/train PATH=BASE/envs/train/bin:$PATH
}
"""
MICROMAMBA = """#!/bin/bash
[ "$1 $2 $3 $4" = "shell hook --shell bash" ] || exit 1
echo 'micromamba() { export CONDA_PREFIX=/micro/$2; }'
"""
MODULES = 'module() { echo "module $*"; }; export MODULEPATH=/m'


def run_job(folder: Path, environment: dict[str, Any], **values: Any) -> tuple[dict[str, str], str]:
    """Run a script as slurmstepd does; return the record of its end, and its log."""
    (folder / "bin").mkdir()
    for name, text in {**FAKES, "srun": SRUN}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    spec = folder / "job.yaml"
    values = {"command": "echo trained in $CONDA_PREFIX", **values}
    spec.write_text(json.dumps({"name": "r", "environment": environment, **values}))
    text = render(plan_of(load_spec(spec).spec, version="0", chdir=str(folder)))
    path = f"  PATH={folder}/bin:/usr/local/bin:"
    (folder / "job.sbatch").write_text(text.replace("  PATH=/usr/local/bin:", path, 1))
    given = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "FAKE": str(folder), "FAKE_MODE": "CANCEL", "SLURM_JOB_ID": "7",
             "SLURM_JOB_NODELIST": "n1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_PARTITION": "p", "HOME": str(folder),
             "SLURM_SUBMIT_DIR": str(folder), "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}  # fmt: skip
    done = subprocess.run(["/bin/bash", folder / "job.sbatch"], env=given, cwd=folder, capture_output=True,
                          text=True, timeout=60, check=False, start_new_session=True)  # fmt: skip
    run = folder / "runs" / "r-7"
    log = "".join(path.read_text() for path in run.glob("logs/*")) + done.stderr
    (end,) = [*run.glob("events/attempt-0001.end")] or [Path(os.devnull)]
    return dict(line.split("=", 1) for line in end.read_text().splitlines()), log


def conda_in(base: Path) -> Path:
    (base / "etc" / "profile.d").mkdir(parents=True)
    (base / "etc" / "profile.d" / "conda.sh").write_text(CONDA.replace("BASE", str(base)))
    return base


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_conda_is_used_from_its_base(tmp_path: Path) -> None:
    base = conda_in(tmp_path / "scratch" / "miniforge3")
    end, log = run_job(tmp_path, {"conda": "train", "conda_base": str(base)})
    assert (end["cause"], f"trained in {base}/envs/train" in log) == ("finished", True), log


def test_a_base_without_conda_is_named(tmp_path: Path) -> None:
    """No other conda is used in its place."""
    conda_in(tmp_path / "miniconda3")
    end, log = run_job(tmp_path, {"conda": "train", "conda_base": "/nowhere"})
    assert end["cause"] == "failed-start", log
    assert end["reason"].startswith(
        "environment.conda_base: neither etc/profile.d/conda.sh nor micromamba found in /nowhere"
    )


def test_conda_is_found_in_the_home_folder(tmp_path: Path) -> None:
    conda_in(tmp_path / "miniconda3")
    end, log = run_job(tmp_path, {"conda": "train"})
    assert (end["cause"], "envs/train" in log) == ("finished", True), log


def test_an_environment_that_is_missing_is_named(tmp_path: Path) -> None:
    conda_in(tmp_path / "miniconda3")
    end, log = run_job(tmp_path, {"conda": "other"})
    assert end["reason"] == "environment.conda: cannot activate other", log


@pytest.mark.parametrize("place", ["m/micromamba", "m/bin/micromamba", ".local/bin/micromamba"])
def test_micromamba_is_a_conda(tmp_path: Path, place: str) -> None:
    """By the path of the program, by its root folder, or in the usual place."""
    program = executable(tmp_path / place, MICROMAMBA)
    base = {"m/micromamba": program, "m/bin/micromamba": program.parent.parent}.get(place)
    keys = {"conda": "train", **({"conda_base": str(base)} if base else {})}
    end, log = run_job(tmp_path, keys)
    assert (end["cause"], "trained in /micro/train" in log) == ("finished", True), log


def test_the_order_of_the_keys(tmp_path: Path) -> None:
    """First lines, modules (purged, their folders, loaded), conda, variables, last lines."""
    base = conda_in(tmp_path / "miniconda3")
    keys = {
        "setup_first": [MODULES, 'echo "first ${CONDA_PREFIX:-nothing}"'],
        "module_purge": True,
        "module_use": "/site/modules",
        "modules": ["cuda", "nccl"],
        "conda": "train",
        "variables": {"A": 1},
        "setup": 'echo "last $A $CONDA_PREFIX"',
    }
    end, log = run_job(tmp_path, keys)
    assert end["cause"] == "finished", log
    lines = [line for line in log.splitlines() if line.split()[0] in ("first", "module", "last")]
    assert lines == ["first nothing", "module purge", "module use /site/modules", "module load cuda",
                     "module load nccl", f"last 1 {base}/envs/train"]  # fmt: skip


def test_lines_of_each_node_run_in_the_shell_of_the_launch(tmp_path: Path) -> None:
    """Functions and variables reach the command; what they print is in the log."""
    lines = ["prepare() { export LEVEL=$1; }", "prepare 3\nprepare 4"]
    end, log = run_job(tmp_path, {"setup_each_node": lines}, command='echo "level $LEVEL"')
    assert (end["cause"], "level 4" in log) == ("finished", True), log


def test_a_line_of_each_node_that_fails_ends_the_attempt(tmp_path: Path) -> None:
    end, log = run_job(
        tmp_path, {"setup_each_node": ["true", "cp /absent /tmp"]}, requeue={"on": []}
    )
    assert (end["cause"], "trained" in log) == ("crash", False), log
    assert "exit code 1 from environment.setup_each_node: cp /absent /tmp; append || :" in log


@pytest.mark.parametrize(
    ("gpus", "build", "reason"),
    [
        ("", "cuda: str = '12.4'", ""),
        ("NVIDIA", "cuda: str = '12.4'\nhip = None", ""),
        ("AMD", "cuda = None\nhip: str = '6.2'", ""),
        ("", "cuda = None\nhip = None", ""),
        ("NVIDIA", "cuda: Optional[str] = None\nhip = None", "is built for CPUs only, but the node has NVIDIA GPUs"),
        ("NVIDIA", None, "torch is not installed for "),
    ],
)  # fmt: skip
def test_the_launchers_python_is_checked(
    tmp_path: Path, gpus: str, build: str | None, reason: str
) -> None:
    """The Python in the launcher's first line, with its own torch, which is not imported."""
    python = tmp_path / "venv"
    site = python / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    (python / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    executable(python / "bin" / "activate", f"PATH={python}/bin:$PATH\n")
    (python / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    if build is not None:
        (site / "torch").mkdir()
        (site / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
        (site / "torch" / "version.py").write_text(f"__version__ = '2'\n{build}\n")
    executable(python / "bin" / "torchrun", f"#!{python}/bin/python\nprint('trained')\n")
    lines = f"print_gpu_kind() {{ echo {gpus}; }}"
    values = {"script": "t.py", "launcher": "torchrun", "slurm": {"gpus-per-node": 1}}
    (tmp_path / "t.py").write_text("")
    end, log = run_job(
        tmp_path, {"venv": str(python), "setup": lines}, command=None, nproc_per_node=1, **values
    )
    assert end.get("cause") == ("failed-start" if reason else "finished"), log
    assert reason in end.get("reason", ""), log
