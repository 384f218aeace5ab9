"""`environment.modules` with Lmod and with Tcl modules, as Debian's packages install them on nodes.

Budget: 1 minute, most of it waiting. Slurm 22.05 hands a job the variables of a login shell, 24.11
and newer do not. All runs of a generation are submitted at once, on nodes with each of the two.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.slurm.cluster import Cluster, missing
from tests.slurm.cluster.module_packages import module_package
from tests.slurm.cluster.suites import Unavailable, suite_with
from tests.slurm.desk import SCRIPTS, Desk, Submitted
from tests.slurm.light import counted, ends, finishes, trains
from tests.slurm.survival import story

NODES = {"lmod": ("n1", "n2"), "environment-modules": ("n3", "n4")}
FOLDER = {"lmod": "/etc/lmod/modules", "environment-modules": "/etc/environment-modules/modules"}
LIBRARY = """#%Module
prepend-path PATH {folder}/bin
prepend-path LD_LIBRARY_PATH {folder}/lib
prepend-path PYTHONPATH {folder}/python
setenv LIBRARY_HOME {folder}
"""
# Its programs, aliases and variables would break a job script that used them.
HOSTILE = """#%Module
prepend-path PATH {folder}/hostile
set-alias sed {{exit 9}}
set-alias log_message {{exit 9}}
setenv IFS ,
setenv POSIXLY_CORRECT 1
setenv attempt 9
setenv run_dir /nonexistent
setenv program /nonexistent
"""
PROGRAMS = ("awk", "cat", "date", "head", "mkdir", "mv", "rm", "sed", "sleep", "tail", "tr")
SEEN = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "LIBRARY_HOME", "LOADEDMODULES", "program")
PROGRAM = f"import os; print('seen', [os.environ.get(name) for name in {SEEN}])"
COMMAND = f'{sys.executable} -c "{PROGRAM}"'
TRAINS = f"{COMMAND}; {sys.executable} {SCRIPTS / 'light.py'} 1000000"
PURGE = ["module purge", "module load library", "module list"]
RUNS: dict[str, dict[str, Any]] = {
    "hostile": {"command": TRAINS, "environment": {"modules": ["library/2.0", "hostile/1"]}},
    "library": {"command": COMMAND, "environment": {"modules": ["library/2.0"]}},
    "purge": {"command": COMMAND, "environment": {"modules": ["hostile/1"], "setup": PURGE}},
    "missing": {
        "command": "echo trained",
        "environment": {"modules": ["library/2.0", "nonesuch/1"]},
    },
}


@dataclass(frozen=True)
class Site:
    """A cluster whose nodes have both module commands, and the folder of the modules' library."""

    desk: Desk
    library: Path
    runs: dict[tuple[str, str], Submitted]
    """By name and module command."""

    def seen(self, run: Submitted) -> list[dict[str, str]]:
        """Return the variables that the command printed on each node."""
        assert self.desk.wait(run) == "COMPLETED", story(run)
        return read_seen(run)


@pytest.fixture(
    scope="module",
    params=["22.05", pytest.param("24.11", marks=pytest.mark.extended), "26.05"],
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A cluster of this generation; skipped with the reason if Debian's mirror is unreachable."""
    reason = missing()
    if reason:
        pytest.fail(reason, pytrace=False)
    try:
        suite = suite_with(request.param).folder
        layers = {
            node: module_package(request.param, package)
            for package, nodes in NODES.items()
            for node in nodes
        }
    except Unavailable as error:
        pytest.skip(str(error))
    with Cluster.start(accounting=False, suite=suite, layers=layers) as cluster:
        library, desk = write_modules(cluster), Desk(cluster, "alice")
        runs = {(name, system): submit(desk, name, system) for name in RUNS for system in NODES}
        yield Site(desk, library, runs)


def write_modules(cluster: Cluster) -> Path:
    """Write two modules into the folder that each package reads by default."""
    library = cluster.scratch / "library"
    for name in ("bin/library-program", *(f"hostile/{name}" for name in PROGRAMS)):
        path = library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\nexit 9\n")
        path.chmod(0o755)
    modules = cluster.scratch / "modules"
    for name, text in (("library/2.0", LIBRARY), ("hostile/1", HOSTILE)):
        path = modules / name
        path.parent.mkdir(parents=True)
        path.write_text(text.format(folder=library))
    for package, nodes in NODES.items():
        for node in nodes:
            cluster.run_on(node, ["mount", "--bind", str(modules), FOLDER[package]])
    return library


def submit(desk: Desk, name: str, system: str) -> Submitted:
    nodes = ",".join(NODES[system])
    slurm = {"nodes": 2, "gpus-per-node": 1, "nodelist": nodes, "partition": "main"}
    return desk.submit(f"{name}-{system}", slurm=slurm, **RUNS[name])


def read_seen(run: Submitted) -> list[dict[str, str]]:
    lines = [line for line in run.log().splitlines() if line.startswith("seen ")]
    return [dict(zip(SEEN, ast.literal_eval(line[5:]), strict=True)) for line in lines]


@pytest.mark.parametrize("name", ["library", "purge"])
@pytest.mark.parametrize("system", NODES)
def test_the_training_sees_what_a_module_sets(site: Site, system: str, name: str) -> None:
    """On every node; setup lines have the module command, too."""
    seen = site.seen(site.runs[name, system])
    assert len(seen) == 2
    for variables in seen:
        folders = variables["PATH"].split(":")
        assert f"{site.library}/bin" in folders[:2]  # the venv's is the other
        assert f"{site.library}/hostile" not in folders
        assert variables["LD_LIBRARY_PATH"].split(":")[0] == f"{site.library}/lib"
        assert variables["PYTHONPATH"].split(":")[0] == f"{site.library}/python"
        assert variables["LIBRARY_HOME"] == str(site.library)
        assert variables["LOADEDMODULES"] == "library/2.0"


@pytest.mark.parametrize("system", NODES)
def test_a_module_that_does_not_exist(site: Site, system: str) -> None:
    """The run ends before the training, with the module's name; `why` shows it."""
    run = site.runs["missing", system]
    assert site.desk.wait(run) == "FAILED", story(run)
    assert "module load nonesuch/1 failed" in run.log(), story(run)
    assert "trained" not in run.log()
    assert "module load nonesuch/1 failed" in site.desk.cli("why", run.run_id).stdout


def test_a_module_does_not_change_the_job_script(site: Site) -> None:
    """Its programs, aliases and variables reach the training alone: the run is requeued and stopped."""
    runs = [site.runs["hostile", system] for system in NODES]
    for run in runs:
        trains(run)
        site.desk.cli("requeue", run.run_id)
    for run in runs:
        finishes(site.desk, run, 2)
        assert ends(run) == ["requeue continue", "stop end"], story(run)
        steps = [step for _, step in counted(run)]
        assert steps == list(range(1, len(steps) + 1)), story(run)
        seen = read_seen(run)[0]
        assert f"{site.library}/hostile:{site.library}/bin:" in seen["PATH"]
        assert seen["LOADEDMODULES"] == "library/2.0:hostile/1"
        assert seen["program"] == "/nonexistent"
