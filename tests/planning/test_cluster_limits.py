"""Requests that no partition can fulfil are reported by `validate`, with those that can.

Why earlier tests did not see these: they let sbatch decide, which accepts most of them, and the
job stays pending for good.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.cluster_limits import megabytes, refuse_unfit_requests
from clusterrun.planning.preparation import Prepared
from tests.planning.test_cpu_by_accident import prepared

# As `sinfo --all --exact` of Slurm 22.05 to 26.05 prints it: name, default, state, limits, nodes.
SINFO = """main|main*|up|1-00:00:00|1-4|10|96|512000|gpu:a100:4(S:0-1)
main|main*|up|1-00:00:00|1-4|2|192+|1024000|gpu:a100:8,tmp:1
long|long|up|7-00:00:00|1-infinite|40|96|512000|gpu:h100:4
cpu|cpu|up|infinite|1-infinite|100|64|1|(null)
old|old|drain|infinite|1-infinite|500|192|2048000|gpu:16
cloud|cloud|up|infinite|1-infinite|0|0|0|(null)
"""
IMPOSSIBLE = {
    "{partition: mian}": ("partition: partition 'mian' does not exist", "did you mean main? this "),
    "{partition: 'main,lnog'}": (
        "partition: partition 'lnog' does not exist",
        "did you mean long?",
    ),
    "{partition: xy}": ("partition: partition 'xy' does not exist", "use another one: this clust"),
    "{nodes: 13}": (
        "nodes: 13 nodes requested, but partition main has 12",
        "use at most 4, or a partition that can run it: long, cpu, cloud",
    ),
    "{nodes: 5}": (
        "nodes: a job in partition main may have at most 4 nodes, not 5",
        "use at most 4, or a partition that can run it: long, cpu, cloud",
    ),
    "{nodes: 8-16, gpus-per-node: 4}": (
        "nodes: a job in partition main may have at most 4",
        "cloud",
    ),
    "{nodes: 3, gpus-per-node: 8}": (
        "nodes: 3 nodes requested, but only 2 of partition main have what each needs: 8 GPUs per",
        "use at most 2, or a partition that can run it: cloud",
    ),
    "{time: 2-0}": (
        "time: 2-0 (2 d) exceeds the time limit of partition main, 1-00:00:00",
        "use at most 1-00:00:00, or a partition that can run it: long, cpu, cloud",
    ),
    "{time: UNLIMITED}": ("time: UNLIMITED exceeds the time limit of partition main", "use at mo"),
    "{time: 9-0, time-min: 25:00:00}": ("time-min: 25:00:00 (1 d 1 h) exceeds the ", "use at mos"),
    "{partition: 'main,long', time: 8-0}": ("time: 8-0 (8 d) exceeds the time limit of p", "c"),
    "{gpus-per-node: 9}": (
        "gpus-per-node: 9 GPUs per node, but the nodes of partition main have at most 8",
        "use at most 8, or a partition that can run it: cloud",
    ),
    "{gres: gpu:a100:16}": ("gres: 16 GPUs per node, but the nodes", "use at most 8"),
    "{partition: cpu, gpus: 4, nodes: 4}": (
        "gpus: 1 GPU per node, but the nodes of pa",
        "main, lo",
    ),
    "{cpus-per-task: 200}": (
        "cpus-per-task: 200 CPUs per node, but the nodes of pa",
        "at most 192",
    ),
    "{gpus-per-node: 4, cpus-per-gpu: 64}": ("cpus-per-gpu: 256 CPUs per node", "use at most 192"),
    "{mem: 2T}": ("mem: 2048G of memory per node, but the nodes of partition ma", "at most 1000G"),
    "{mem-per-cpu: 16G, cpus-per-task: 80}": ("mem-per-cpu: 1280G of memory per node", "1000G"),
    "{mem-per-gpu: 300G, gpus-per-node: 4}": ("mem-per-gpu: 1200G of memory per node", "1000G"),
}
POSSIBLE = (
    "{}",
    "{nodes: 4, gpus-per-node: 4, time: 1-0}",
    "{nodes: 2, gpus-per-node: 8, mem: 1000G, cpus-per-task: 192}",
    "{nodes: 2-400, gpus-per-node: 4}",
    "{partition: 'main,long', nodes: 9, gpus-per-node: 4}",
    "{time: 2-0, time-min: 20:00:00}",
    "{time: 9-0, nodes: 9, qos: long}",
    "{partition: cpu, mem: 4T, nodes: 100}",
    "{partition: cloud, nodes: 1000, gpus-per-node: 64}",
    "{partition: mian, reservation: course}",
    "{mem: 0}",
    "{gpus-per-node-without-gres: 64}",
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with a sinfo that prints SINFO."""
    (tmp_path / "sinfo.txt").write_text(SINFO)
    for name, text in (("sbatch", "exit 1"), ("sinfo", f"cat {tmp_path}/sinfo.txt")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return f"{tmp_path}:/usr/bin:/bin"


def prepared_for(folder: Path, slurm: str, path: str) -> Prepared:
    """Prepare a spec that says that it trains on CPUs, unless it requests GPUs."""
    on_cpus = "" if re.search("gpu|gres", slurm) else "accelerate: {use_cpu: true}\n"
    return prepared(folder, f"slurm: {slurm}\n{on_cpus}", path)


@pytest.mark.parametrize("slurm", IMPOSSIBLE)
def test_an_impossible_request(tmp_path: Path, path: str, slurm: str) -> None:
    message, hint = IMPOSSIBLE[slurm]
    with pytest.raises(SpecError) as raised:
        refuse_unfit_requests(prepared_for(tmp_path, slurm, path))
    (problem,) = raised.value.problems
    assert str(problem).startswith(f"job.yaml:2: slurm.{message}")
    assert hint in problem.hint


@pytest.mark.parametrize("slurm", POSSIBLE)
def test_a_possible_request(tmp_path: Path, path: str, slurm: str) -> None:
    refuse_unfit_requests(prepared_for(tmp_path, slurm, path))


def test_every_mistake_is_reported(tmp_path: Path, path: str) -> None:
    spec = prepared_for(tmp_path, "{nodes: 13, time: 2-0, mem: 2T}", path)
    with pytest.raises(SpecError) as raised:
        refuse_unfit_requests(spec)
    keys = [problem.key for problem in raised.value.problems]
    assert keys == ["slurm.time", "slurm.nodes", "slurm.mem"]
    with pytest.raises(SpecError) as raised:  # main's nodes all have GPUs
        refuse_unfit_requests(prepared(tmp_path, "slurm: {time: 2-0}\n", path))
    assert [problem.key for problem in raised.value.problems] == ["slurm.time", "slurm"]


def test_a_cluster_without_a_default_partition(tmp_path: Path, path: str) -> None:
    (tmp_path / "sinfo.txt").write_text(SINFO.replace("main*", "main"))
    with pytest.raises(SpecError, match="the cluster has no default partition"):
        refuse_unfit_requests(prepared_for(tmp_path, "{nodes: 1}", path))
    refuse_unfit_requests(prepared_for(tmp_path, "{partition: main}", path))


@pytest.mark.parametrize(
    "script", ["exit 1", "sleep 60", "echo hi", "echo 'a|b|c|d|e|f|g|h|i'", "printf '|||||||| \\n'"]
)
def test_without_an_answer_nothing_is_refused(
    tmp_path: Path, path: str, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a failure, nor silence, nor what sinfo of another kind prints."""
    monkeypatch.setattr("clusterrun.slurm.partitions._SECONDS", 0.5)
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
    refuse_unfit_requests(prepared_for(tmp_path, "{partition: mian, nodes: 99}", path))


def test_memory_has_the_units_of_sbatch() -> None:
    assert [megabytes(text) for text in ("64G", "2T", "4096", "2048K", "64GB")] == [
        65536,
        2 * 1024**2,
        4096,
        2,
        65536,
    ]
