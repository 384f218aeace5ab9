"""A wheel renders the same scripts as the checkout, from any folder."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import distributions, requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from clusterrun.version import __version__
from tests.slurm.cluster.suites import PYTHON_OF, Unavailable, with_python

ROOT = Path(__file__).parent.parent
SPECS = sorted((ROOT / "job_specs").glob("*.yaml"))
LOCK = ROOT / "requirements" / "test.lock"
VERSION = ".".join(platform.python_version_tuple()[:2])
BARE = {"PATH": os.defpath, "HOME": "/nonexistent", "VIRTUAL_ENV": "/opt/venv"}
TEMPLATES = {path.name for path in (ROOT / "templates").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source archive; `build` downloads a missing backend."""
    folder = tmp_path_factory.mktemp("dist")
    here = importlib.util.find_spec("hatchling") is not None
    command = ["hatchling", "build", "-d", folder] if here else ["build", "--outdir", folder]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)
    return folder


def own_python(version: str) -> list[str] | None:
    """Return the command of this machine's Python of a version, if it has one."""
    name = sys.executable if version == VERSION else shutil.which(f"python{version}")
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    # A name on PATH can be a shim of pyenv for a version that is not active.
    listing = (
        subprocess.run([name, "-c", ask], capture_output=True, text=True, check=False)
        if name
        else None
    )
    return [name] if name and listing and listing.stdout.strip() == version else None


class Installed:
    """An environment with the wheel and its locked dependencies, and nothing else."""

    def __init__(self, wheel: Path, venv: Path, version: str) -> None:
        self.venv, self.version = venv, version
        self.own = own_python(version)
        pip = [venv / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        self.run([*(self.own or [f"python{version}"]), "-m", "venv", venv], os.environ)
        self.run([*pip, wheel], os.environ | {"PIP_CONSTRAINT": str(LOCK)})

    def run(self, command: Sequence[object], environment: Mapping[str, str] = BARE) -> str:
        """Run a command in the root folder and return its output."""
        argv = command if self.own else [*with_python(self.version), *command]
        done = subprocess.run(
            argv, cwd="/", env=environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module", params=sorted({VERSION, *PYTHON_OF}))
def installed(request, built, tmp_path_factory) -> Installed:
    """The wheel in an empty environment, on the Pythons of Debian 12 and 13 and on this one."""
    (wheel,) = built.glob("*.whl")
    try:
        return Installed(wheel, tmp_path_factory.mktemp("installed") / "venv", request.param)
    except Unavailable as reason:
        pytest.skip(f"no Python {request.param}: {reason}")


@lru_cache
def from_the_checkout(spec: Path) -> str:
    """Return the script that the checkout renders for a spec."""
    command = [sys.executable, "-m", "clusterrun", "render", spec]
    environment = BARE | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd="/", env=environment, text=True, capture_output=True, check=True
    ).stdout


def test_the_package_comes_from_the_wheel(installed):
    """clusterrun and its templates are the installed ones; the Python is the requested one."""
    text = (
        "import clusterrun, clusterrun.planning.template_folders as s, sys; "
        "print(clusterrun.__file__, s.template_folder(), '%d.%d' % sys.version_info[:2], sep='\\n')"
    )
    module, templates, python = installed.run(
        [installed.venv / "bin" / "python", "-c", text]
    ).splitlines()
    assert Path(module).is_relative_to(installed.venv)
    assert Path(templates) == Path(module).parent / "templates"
    assert python == installed.version


def test_the_environment_has_the_locked_versions(installed):
    """pip installed the locked versions, and they are compatible."""
    pip = [installed.venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    found = dict(
        line.split("==") for line in installed.run([*pip, "list", "--format=freeze"]).splitlines()
    )
    names = {
        canonicalize_name(name): number for name, number in found.items() if name != "clusterrun"
    }
    pinned = locked(installed.version)
    assert {name: pinned[name] for name in names if name not in ("pip", "setuptools")} == {
        name: number for name, number in names.items() if name not in ("pip", "setuptools")
    }
    assert "No broken requirements" in installed.run([*pip, "check"])


@pytest.mark.parametrize("spec", SPECS, ids=[path.stem for path in SPECS])
def test_an_installed_clusterrun_makes_the_checkouts_script(installed, spec):
    """Every job spec gives the same script from a wheel, in another folder, as from the checkout."""
    from_wheel = installed.run([installed.venv / "bin" / "clusterrun", "render", spec])
    assert from_wheel == from_the_checkout(spec)
    assert from_wheel.endswith('\nmain "$@"\n')


def locked(python: str) -> dict[str, str]:
    """Return the locked version of each package for a version of Python on Linux."""
    found = {}
    for line in LOCK.read_text().splitlines():
        if row := re.match(r"([^\s=#]+)==(\S+)(?: ; ([^#]+))?", line):
            name, number, marker = row.groups()
            full = platform.python_version() if python == VERSION else f"{python}.0"
            environment = {"python_version": python, "python_full_version": full}
            if marker is None or Marker(marker).evaluate(environment):
                found[canonicalize_name(name)] = number
    return found


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_the_lock_has_every_dependency(python):
    """Each dependency of pyproject.toml, with extras, is locked for each Python, within its range."""
    pinned = locked(python)
    for text in requires("clusterrun") or ():
        requirement = Requirement(text)
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_the_lock_is_portable():
    """The lock works on any machine: it has no index, no folder, and no GPU library."""
    text = LOCK.read_text()
    assert not re.search(r"://|^-|file:|(?<!\w)/|nvidia|triton|cuda", text, re.MULTILINE)
    assert f"torch=={locked('3.11')['torch']}" in (ROOT / "requirements" / "torch.txt").read_text()


def test_the_tests_run_on_the_locked_versions():
    """A difference means an environment older than the lock: remove .venv/.test and run it again."""
    pinned = locked(VERSION)
    here = {
        canonicalize_name(one.metadata["Name"]): one.version.partition("+")[0]
        for one in distributions()
    }
    assert {name: here[name] for name in pinned if name in here} == {
        name: number for name, number in pinned.items() if name in here
    }


def test_the_version_is_written_once(built, installed):
    """Wheel metadata, command and package have the version of `clusterrun/version.py`."""
    text = "import clusterrun, importlib.metadata as m; print(clusterrun.__version__, m.version('clusterrun'))"
    versions = installed.run([installed.venv / "bin" / "python", "-c", text]).split()
    assert versions == [__version__, __version__]
    assert "\nversion = " not in (ROOT / "pyproject.toml").read_text()
    (wheel,) = built.glob("*.whl")
    assert wheel.name.split("-")[1] == __version__


def test_the_wheel_holds_the_package_and_nothing_else(built):
    """It contains templates and the marker of a typed package, but no tests or job specs."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        name.split("/")[2] for name in names if name.startswith("clusterrun/templates/")
    } == TEMPLATES
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"clusterrun"}
    assert "clusterrun/py.typed" in names


def test_the_source_archive_can_make_the_wheel(built):
    """The source archive has templates, job specs, configs, examples and tests next to the package."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {name.split("/")[1] for name in names if name.startswith("templates/")} == TEMPLATES
    for path in (
        *SPECS,
        ROOT / "pyproject.toml",
        ROOT / "README.md",
        Path(__file__),
        *(ROOT / "configs").iterdir(),
    ):
        assert str(path.relative_to(ROOT)) in names
