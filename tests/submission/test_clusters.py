"""A run belongs to one cluster, which Slurm's commands must reach; the options that choose another are refused."""

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
def test_another_cluster_is_refused_with_what_works(option, tmp_path, monkeypatch):
    """The job would be looked for, and cancelled, on the default cluster."""
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(f"script: train.py\nslurm: {{{option}}}\n")
    with pytest.raises(SpecError, match="cluster") as raised:
        load_spec("job.yaml")
    assert HINT in str(raised.value)


@pytest.mark.parametrize(
    "line", ["#SBATCH -M wice", "#SBATCH --clusters=wice", "#SBATCH --clusters wice"]
)
def test_an_old_script_for_another_cluster(line):
    """Its spec leaves the option out, and says so."""
    draft = translated(f"#!/bin/bash\n{line}\naccelerate launch train.py\n")
    assert "clusters" not in draft.values["slurm"]
    assert any("cluster" in str(note) for note in draft.notes)


@pytest.mark.parametrize(("recorded", "reached", "refused"), [
    ("wice", "wice", False), ("wice", "WICE", False), ("wice", "genius", True), ("wice", "wice,genius", True),
    ("wice", "all", True), ("", "genius", False), ("wice", "", False),
])  # fmt: skip
def test_which_cluster_is_reached(recorded, reached, refused, monkeypatch):
    """By SLURM_CLUSTERS; what is not recorded, or not answered, refuses nothing."""
    monkeypatch.setenv("SLURM_CLUSTERS", reached)
    monkeypatch.setenv("PATH", "/nowhere")
    clusters._configured_cluster.cache_clear()
    assert bool(clusters.other_cluster(recorded)) == refused


@pytest.mark.parametrize("named", ["a,b", "all"])
def test_several_clusters_are_refused(named):
    """Sbatch would choose one of them."""
    with pytest.raises(ClusterError, match="more than one cluster"):
        clusters.refuse_several_clusters({"SLURM_CLUSTERS": named})


def test_where_the_cluster_is_recorded(tmp_path):
    """At the submission, also of an array's task; by an attempt of a script that was piped into sbatch."""
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
    """What squeue said of one cluster's jobs is not shown for another's: they have the same numbers."""
    fake = tmp_path / "bin" / "squeue"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\necho "7|7|7|RUNNING|None|N/A|$SLURM_CLUSTERS-node|/x"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    for name in ("wice", "genius", "wice"):
        monkeypatch.setenv("SLURM_CLUSTERS", name)
        assert shared.shared_answer(tmp_path).jobs[0].nodes == f"{name}-node"
