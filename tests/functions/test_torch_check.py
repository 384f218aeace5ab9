"""The check that torch finds the GPUs that Slurm allocated: without them, accelerate would start each
rank as an independent training on the CPU.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clusterrun.run_folder.records import read_record
from tests.support.bash_functions import bash, said

LAUNCH = "launch() { accelerate launch train.py; }"
CPU_BUILD = "0 2.13.0+cpu False"
PROBLEMS = [
    # ranks on this node, what torch finds, more variables; the problem
    (2, "2 2.9.0 True", {}, ""),
    (1, "2 2.9.0 True", {}, ""),
    (2, CPU_BUILD, {}, "torch 2.13.0+cpu is built for CPUs, but Slurm allocated GPUs (2 for this node's ranks)"),
    (1, CPU_BUILD, {}, "torch 2.13.0+cpu is built for CPUs, but Slurm allocated GPUs (1 for this node's ranks)"),
    (8, "7 2.9.0 True", {}, "torch 2.9.0 finds 7 of the 8 GPUs that Slurm allocated"),
    (4, "0 2.9.0 True CUDA initialization: The NVIDIA driver is too old", {"CUDA_VISIBLE_DEVICES": "0,1,2,3"},
     "torch 2.9.0 finds 0 of the 4 GPUs that Slurm allocated: CUDA initialization: The NVIDIA driver is too old"),
    (4, "2 2.9.0 True", {"CUDA_VISIBLE_DEVICES": "0,1"},
     "torch 2.9.0 finds 2 of 4 GPUs, because the environment has CUDA_VISIBLE_DEVICES='0,1'"),
    (4, "0 2.9.0 True", {"CUDA_VISIBLE_DEVICES": ""},
     "torch 2.9.0 finds 0 of 4 GPUs, because the environment has CUDA_VISIBLE_DEVICES=''"),
    (2, "1 2.9.0 True", {"CUDA_VISIBLE_DEVICES": "MIG-1,MIG-2"}, ""),  # CUDA shows one of them
    (2, "", {}, ""),  # torch cannot be imported, which the launcher reports
    (2, "no torch", {}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("ranks", "report", "variables", "problem"), PROBLEMS)
def test_what_torch_finds(ranks: int, report: str, variables: dict[str, str], problem: str) -> None:
    """Fewer GPUs than ranks are a problem, with its reason; what is not known is none."""
    assert said('find_torch_problem "$@"', ranks, report, **variables).strip() == problem


TRAININGS = [
    (LAUNCH, {}, True),
    (LAUNCH, {"ACCELERATE_USE_CPU": "true"}, False),
    (LAUNCH, {"ACCELERATE_USE_CPU": "False"}, True),
    (LAUNCH, {"DS_ACCELERATOR": "cpu"}, False),
    ("launch() { torchrun train.py; }", {}, False),
]


@pytest.mark.parametrize(("launch", "variables", "needs"), TRAININGS)
def test_which_trainings_need_gpus(launch: str, variables: dict[str, str], needs: bool) -> None:
    """Those that accelerate starts, unless they are to use CPUs."""
    assert (bash(f"{launch}; training_needs_gpus", **variables).returncode == 0) is needs


CHECK = f"""
{LAUNCH}
kill_training_processes() {{ echo killed; }}
node_task_is_alive() {{ :; }}
run_dir=$PWD attempt=0001 node_dir=$PWD num_processes=4 num_machines=2 one_rank_per_gpu=1 login_functions=
CLUSTERRUN_STOP_FILE=$PWD/stop
{{ [ -z "$stub" ] || ask_torch() {{ echo "clusterrun-torch $stub"; }}; }}
check_torch
blame_nodes "$(step_exit=1; find_step_cause() {{ :; }}; find_launch_failure() {{ :; }}; find_end_cause)"
echo "$new_exclusions"
"""
ENDS = [
    # what torch finds; the record of the check, and whether the node is excluded
    (CPU_BUILD, "torch 2.13.0+cpu is built for CPUs, but Slurm allocated GPUs (2 for this node's ranks)", "yes"),
    ("1 2.9.0 True", "torch 2.9.0 finds 1 of the 2 GPUs that Slurm allocated", ""),
]  # fmt: skip


@pytest.mark.parametrize(("report", "check", "environment"), ENDS)
def test_the_end_of_a_training_without_its_gpus(
    tmp_path: Path, report: str, check: str, environment: str
) -> None:
    """The launcher is killed; a node that lacks a GPU is excluded, but not for a torch without CUDA,
    which the run's other nodes have as well: the run ends.
    """
    for name in ("events", "logs"):
        (tmp_path / name).mkdir()
    variables = {"SLURM_NODEID": 0, "SLURMD_NODENAME": "n0", "SLURM_JOB_NUM_NODES": 2}
    done = bash(
        f'cd {tmp_path}; read() {{ [[ $* == *-t* ]] || builtin read "$@"; }}; {CHECK}',
        stub=report,
        **variables,
    )
    record = read_record(tmp_path / "events" / "attempt-0001.node-0")
    assert (record["check"], record["environment"]) == (check, environment)
    assert f"node check failed: {check}" in done.stderr
    assert done.stdout.split() == (["killed"] if environment else ["killed", "1"])
    cause = bash(
        "step_exit=1; find_end_cause",
        run_dir=tmp_path,
        attempt="0001",
        step_exit=1,
        SLURM_JOB_NUM_NODES=2,
    )
    assert cause.stdout.strip() == ("failed-start" if environment else "bad-node")


def test_the_launchers_own_torch_is_asked(tmp_path: Path) -> None:
    """The Python in the first line of `accelerate`, also if pip has put its long path in the second."""
    for number, head in enumerate(
        (f"#!{sys.executable}\n", f"#!/bin/sh\n'''exec' {sys.executable} \"$0\" \"$@\"\n' '''\n")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "accelerate").write_text(f"{head}import accelerate\n")
        (folder / "accelerate").chmod(0o755)
        (folder / "torch.py").write_text(STUB)
        text = "login_functions=; ask_torch"
        variables = {
            "PATH": f"{folder}:/usr/bin:/bin",
            "PYTHONPATH": folder,
            "CLUSTERRUN_STOP_FILE": "/stop",
        }
        assert bash(text, **variables).stdout == "clusterrun-torch 3 9.9 True a warning\n"


STUB = """
import warnings
from types import SimpleNamespace as N
def find():
    warnings.warn("a\\nwarning")
    return True
__version__, version = "9.9", N()
cuda = N(is_available=find, device_count=lambda: 3)
backends = N(cuda=N(is_built=lambda: True))
"""


def test_the_installed_torch_is_asked() -> None:
    """The report of the tests' own torch, on any machine."""
    import torch

    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    report = bash("login_functions=; ask_torch", PATH=path, CLUSTERRUN_STOP_FILE="/stop").stdout
    built = str(torch.backends.cuda.is_built())
    assert report.split()[2:4] == [str(torch.__version__), built]
