"""The clusters that the Slurm tests run on: each is started once, and restored after every test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.cluster.suites import suite_with
from tests.slurm.desk import Desk

CLUSTERS = ("cluster", "cluster_without_accounting", "cluster_with_cgroup")


@contextmanager
def running(*, accounting: bool, cgroup: bool = False) -> Iterator[Cluster]:
    """Start a cluster; with KEEP_CLUSTERS=FOLDER in the environment its files and logs stay in
    FOLDER.

    SLURM_GENERATION=26.05, for example, runs that version from `suites.py` instead of this
    machine's Slurm; SLURM_TRACKING=cgroup tracks processes by cgroup on every cluster.
    """
    reason = missing()
    if reason:
        pytest.fail(reason, pytrace=False)
    kept = os.environ.get("KEEP_CLUSTERS")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=kept))
    generation = os.environ.get("SLURM_GENERATION")
    suite = suite_with(generation).folder if generation else None
    cgroup = cgroup or os.environ.get("SLURM_TRACKING") == "cgroup"
    cluster = Cluster.start(folder, accounting=accounting, cgroup=cgroup, suite=suite)
    try:
        yield cluster
    finally:
        cluster.stop(keep_folder=bool(kept))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Four nodes with eight fake GPUs each, and accounting."""
    with running(accounting=True) as started:
        yield started


@pytest.fixture(scope="session")
def cluster_without_accounting() -> Iterator[Cluster]:
    """The same cluster without accounting: sacct reports that accounting storage is disabled."""
    with running(accounting=False) as started:
        yield started


@pytest.fixture(scope="session")
def cluster_with_cgroup() -> Iterator[Cluster]:
    """Processes tracked by cgroup, as on most real clusters: signals reach only a step's task."""
    with running(accounting=False, cgroup=True) as started:
        yield started


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Desk:
    """Alice's desk on the shared cluster; a file that needs another cluster defines its own
    fixture.
    """
    return Desk(cluster, "alice")


@pytest.fixture(scope="module", autouse=True)
def background(request: pytest.FixtureRequest) -> Iterator[None]:
    """Start the fixtures that a module names in BACKGROUND early, so that they run during its
    tests.

    Such a module's clusters are restored after its last test, not after each.
    """
    tests = [
        item for item in request.session.items if item.getparent(pytest.Module) is request.node
    ]
    used = {name for test in tests for name in getattr(test, "fixturenames", ())}
    if not hasattr(request.module, "BACKGROUND"):
        yield
        return
    clusters: list[Cluster] = [request.getfixturevalue(name) for name in CLUSTERS if name in used]
    for name in request.module.BACKGROUND:
        if name in used:
            request.getfixturevalue(name)
    yield
    for cluster in clusters:
        cluster.restore()


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> Iterator[None]:
    """Restore every cluster that the test used: idle, with all daemons and nodes running."""
    if hasattr(request.module, "BACKGROUND"):
        yield
        return
    used = [name for name in CLUSTERS if name in request.fixturenames]
    clusters: list[Cluster] = [request.getfixturevalue(name) for name in used]
    yield
    for cluster in clusters:
        cluster.restore()
