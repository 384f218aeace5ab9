"""GPUs of a type whose name starts with a digit are used; GPUs that a spec does not request are
reported.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.slurm.cluster import Cluster
from tests.slurm.desk import Desk, Submitted, until

SCRIPT = """import os, sys
sys.stdout.write(f"WORLD {os.environ['WORLD_SIZE']} {os.environ.get('ACCELERATE_USE_CPU')}\\n")
"""


ALONE = """import time
from accelerate import Accelerator
for step in range(100):
    time.sleep(1)  # loads a model
    if step > 5:
        print(f"one of {Accelerator().num_processes} trains", flush=True)
"""


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """A node with four GPUs that Slurm calls 3090."""
    with Cluster.start(accounting=False, nodes=1, gpus=4, gpu_type="3090") as cluster:
        yield Desk(cluster, "alice")


def test_gpus_of_a_type_that_starts_with_a_digit(desk: Desk) -> None:
    """As many ranks as GPUs, in each of sbatch's notations, and none of them on CPUs."""
    script = desk.write("world.py", SCRIPT)
    runs = [desk.submit(f"gpus-{number}", script=str(script), slurm=slurm, node_check=False) for number, slurm in enumerate(
        [{"gres": "gpu:3090:2"}, {"gpus-per-node": "3090:2"}, {"gpus": "3090:2"}])]  # fmt: skip
    for run in runs:
        assert desk.wait(run) == "COMPLETED"
        assert run.log().count("WORLD 2 None") == 2
        assert "WARNING" not in run.log()


def test_a_job_on_cpus_that_holds_gpus(desk: Desk) -> None:
    """A job that requests no GPUs is refused where every node has them, unless CPUs are requested.

    An exclusive job has the node's GPUs: if it was not refused, its log says that it does not use
    them.
    """
    script = desk.write("world.py", SCRIPT)
    here = {"exclusive": True}
    spec = desk.spec("idle", script=str(script), slurm=here, accelerate={"use_cpu": None})
    for command in ("submit", "validate"):
        refused = desk.cli(command, str(spec), check=False)
        assert refused.returncode == 2
        assert "all nodes of partition low have GPUs, but the job requests none" in refused.stderr
    rendered = desk.write("idle.sbatch", desk.cli("render", str(spec)).stdout)
    words = ["sbatch", "--parsable", f"--output={rendered.with_suffix('.out')}", str(rendered)]
    job = desk.cluster.run_as("alice", words).stdout.strip()
    idle = Submitted(f"idle-{job}", job, desk.run_root / f"idle-{job}")
    meant = desk.submit("meant", script=str(script), slurm=here, accelerate={"use_cpu": True})
    assert desk.wait(meant) == "COMPLETED"
    until(lambda: idle.ends() == ["finished"], 60, "the job that was not refused ends")
    assert "WARNING: training runs on CPUs, but Slurm allocated GPUs on n1: 4" in idle.log()
    assert "WARNING" not in meant.log()


def test_gpus_that_slurm_does_not_count(desk: Desk) -> None:
    """A node without GRES for its GPUs: nothing is requested, and each GPU that the driver lists
    has a rank.
    """
    tools = desk.cluster.home("alice") / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\nprintf 'GPU 0: H100\\nGPU 1: H100\\n'\n")
    (tools / "nvidia-smi").chmod(0o755)
    desk.cluster.run_on("n1", ["mount", "--bind", str(tools), "/usr/local/sbin"])
    try:
        script = desk.write("world.py", SCRIPT)
        site = f"run_root: {desk.run_root}\ngpus_per_node_without_gres: {{low: 2}}\n"
        spec = desk.spec(
            "whole", script=str(script), accelerate={"use_cpu": None}, node_check=False
        )
        desk.write("site.yaml", site)
        run = desk.submitted(desk.cli("submit", "--json", str(spec)))
        assert desk.wait(run) == "COMPLETED", run.log()
        assert run.log().count("WORLD 2 None") == 2
        assert "gpu" not in "".join(
            line
            for line in (run.folder / "job.sbatch").read_text().splitlines()
            if "#SBATCH" in line
        )
    finally:
        desk.cluster.run_on("n1", ["umount", "/usr/local/sbin"])
        desk.write_site()


def test_a_torch_that_finds_no_gpu(desk: Desk) -> None:
    """Without GPUs, accelerate starts each rank as an independent training, without an error: the run
    ends before their first step, for any script, and is not repeated.
    """
    script = desk.write("alone.py", ALONE)
    run = desk.submit("alone", script=str(script), slurm={"gpus-per-node": 2}, real_launch=True)
    assert desk.wait(run) == "FAILED"
    assert run.ends() == ["failed-start"]
    assert "trains" not in run.log()
    why = desk.cli("why", run.run_id).stdout
    assert " is built for CPUs, but Slurm allocated GPUs (2 for this node's ranks)" in why
    assert "install a torch build for the CUDA version" in " ".join(why.split())
    assert not list((run.folder / "nodes").glob("*")), "another node would have the same torch"


def test_slurms_own_reading_of_gpu_requests(desk: Desk) -> None:
    """A type without a count is a count to Slurm, and a list of two types is one request."""
    for request, taken in [("--gres=gpu:3090", False), ("--gres=gpu:3090:1,gpu:3090:1", True), ("--gres=gpu", True),
                           ("--gres=gpu:3090:2", True), ("--gpus=3090:2", True), ("--gpus=3090", False)]:  # fmt: skip
        argv = ["sbatch", "--test-only", "--time=1", request, "--wrap=true"]
        assert (desk.cluster.run_as("alice", argv, check=False).returncode == 0) == taken, request
