"""A machine without Slurm; and one whose Slurm is a set of shell scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clusterrun.local import kill_processes
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.slurm import clusters
from clusterrun.submission import exactly_once
from tests.support.laptop import Laptop
from tests.support.stub_cluster import Cluster


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    made = Laptop(tmp_path_factory.mktemp("laptop"))
    yield made
    for run in made.runs:
        kill_processes(str(run.paths.folder))


@pytest.fixture
def cluster(tmp_path, monkeypatch) -> Iterator[Cluster]:
    """A cluster called `east` without jobs."""
    (tmp_path / "bin").mkdir()
    made = Cluster(tmp_path / "bin")
    made.answer("scontrol", "ClusterName             = east\n")
    made.answer("sbatch", "Submitted batch job 4711\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_CLUSTERS", raising=False)
    monkeypatch.setattr(exactly_once, "SETTLE_SECONDS", 0.0)
    clusters._configured_cluster.cache_clear()
    yield made
    clusters._configured_cluster.cache_clear()


@pytest.fixture
def run(tmp_path) -> RunRef:
    """A run whose folder is complete, and whose job is unknown."""
    paths = RunPaths(tmp_path / "run")
    paths.events.mkdir(parents=True)
    paths.script.write_text("#!/bin/bash\n")
    return RunRef("tiny-1", paths)
