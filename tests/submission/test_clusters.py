"""A run belongs to one cluster that Slurm's commands can reach; options for others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.errors import ClusterError, SpecError
from clusterrun.job_spec import load_spec
from clusterrun.run_folder.job_ids import cluster_of
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.run_status import shared_queue as shared
from clusterrun.slurm import clusters
from tests.support.drafts import translated

HINT = "hint: run `export SLURM_CLUSTERS=NAME` before every clusterrun command for the run"


@pytest.mark.parametrize("option", ["clusters: wice", "clusters: 'a,b'", "cluster-constraint: fast",
                                    "cluster_constraint: fast", "additional_parameters: {clusters: wice}"])  # fmt: skip
def test_another_cluster_is_refused_with_a_hint(option, tmp_path, monkeypatch):
    """Later commands would look for the job, and cancel it, on the default cluster."""
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(f"script: train.py\nslurm: {{{option}}}\n")
    with pytest.raises(SpecError, match="cluster") as raised:
        load_spec("job.yaml")
    assert HINT in str(raised.value)


@pytest.mark.parametrize(
    "line", ["#SBATCH -M wice", "#SBATCH --clusters=wice", "#SBATCH --clusters wice"]
)
def test_an_old_script_for_another_cluster(line):
    """Its spec omits the option, with a report."""
    draft = translated(f"#!/bin/bash\n{line}\naccelerate launch train.py\n")
    assert "clusters" not in draft.values["slurm"]
    assert any("cluster" in str(note) for note in draft.notes)


@pytest.mark.parametrize(("recorded", "reached", "refused"), [
    ("wice", "wice", False), ("wice", "WICE", False), ("wice", "genius", True), ("wice", "wice,genius", True),
    ("wice", "all", True), ("", "genius", False), ("wice", "", False),
])  # fmt: skip
def test_which_cluster_is_reached(recorded, reached, refused, monkeypatch):
    """SLURM_CLUSTERS decides; an unrecorded cluster, or no answer, refuses nothing."""
    monkeypatch.setenv("SLURM_CLUSTERS", reached)
    monkeypatch.setenv("PATH", "/nowhere")
    clusters._configured_cluster.cache_clear()
    assert bool(clusters.other_cluster(recorded)) == refused


@pytest.mark.parametrize("named", ["a,b", "all"])
def test_several_clusters_are_refused(named):
    """sbatch would choose one of them."""
    with pytest.raises(ClusterError, match="more than one cluster"):
        clusters.refuse_several_clusters({"SLURM_CLUSTERS": named})


def test_where_the_cluster_is_recorded(tmp_path):
    """It is recorded at submission, also for an array's task, or by an attempt of a piped script."""
    run, task = RunPaths(tmp_path), RunPaths(tmp_path / "task-3")
    for paths in (run, task):
        paths.events.mkdir(parents=True)
    assert cluster_of(run) == ""
    write_record(run.begin("0001"), {"cluster": "genius"})
    assert cluster_of(run) == "genius"
    run.begin("0001").unlink()
    write_record(run.job, {"job_id": "7", "cluster": "wice"})
    assert (cluster_of(run), cluster_of(task)) == ("wice", "wice")


def test_each_cluster_has_its_own_shared_answer(tmp_path, monkeypatch):
    """squeue's answer about one cluster is not used for another, where job ids repeat."""
    fake = tmp_path / "bin" / "squeue"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "7|7|7|RUNNING|None|N/A|$SLURM_CLUSTERS-node|/x"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    for name in ("wice", "genius", "wice"):
        monkeypatch.setenv("SLURM_CLUSTERS", name)
        assert shared.shared_answer(tmp_path).jobs[0].nodes == f"{name}-node"
