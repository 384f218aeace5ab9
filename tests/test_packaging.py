"""What is installed from a wheel makes the same scripts as the checkout, from any folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from clusterrun.version import __version__

ROOT = Path(__file__).parent.parent
SPECS = sorted((ROOT / "job_specs").glob("*.yaml"))
TEMPLATES = {path.name for path in (ROOT / "templates").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the source archive; without the backend at hand, `build` fetches it."""
    folder = tmp_path_factory.mktemp("dist")
    here = importlib.util.find_spec("hatchling") is not None
    command = ["hatchling", "build", "-d", folder] if here else ["build", "--outdir", folder]
    subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """A fresh virtual environment with the wheel, which sees this one's other packages behind it."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", "--no-deps",
                    "--no-index", "--disable-pip-version-check", wheel], check=True)  # fmt: skip
    (site,) = venv.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(packages) + "\n")
    return venv


def output(command: list[object], **environment: str) -> str:
    """Run a command in the root folder with a bare environment."""
    given = {"PATH": os.defpath, "HOME": "/nonexistent", "VIRTUAL_ENV": "/opt/venv", **environment}
    return subprocess.run(command, cwd="/", env=given, text=True, capture_output=True, check=True).stdout


def test_the_package_comes_from_the_wheel(installed):
    """The environment's clusterrun is the installed one, and so are its templates."""
    text = "import clusterrun, clusterrun.script as s; print(clusterrun.__file__, s.template_folder(), sep='\\n')"
    module, templates = output([installed / "bin" / "python", "-c", text]).splitlines()
    assert Path(module).is_relative_to(installed)
    assert Path(templates) == Path(module).parent / "templates"


@pytest.mark.parametrize("spec", SPECS, ids=[path.stem for path in SPECS])
def test_an_installed_clusterrun_makes_the_checkouts_script(installed, spec):
    """Every job spec gives the same script from a wheel, in another folder, as from the checkout."""
    from_wheel = output([installed / "bin" / "clusterrun", "render", spec])
    assert from_wheel == output([sys.executable, "-m", "clusterrun", "render", spec], PYTHONPATH=str(ROOT))
    assert from_wheel.endswith('\nmain "$@"\n')


def test_the_version_is_written_once(built, installed):
    """The wheel's metadata, the command and the package agree on what `clusterrun/version.py` says."""
    text = "import clusterrun, importlib.metadata as m; print(clusterrun.__version__, m.version('clusterrun'))"
    told = output([installed / "bin" / "python", "-c", text]).split()
    assert told == [__version__, __version__]
    assert "\nversion = " not in (ROOT / "pyproject.toml").read_text()
    (wheel,) = built.glob("*.whl")
    assert wheel.name.split("-")[1] == __version__


def test_the_wheel_holds_the_package_and_nothing_else(built):
    """Templates and the mark of a typed package are inside; tests and job specs are not."""
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[2] for name in names if name.startswith("clusterrun/templates/")} == TEMPLATES
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"clusterrun"}
    assert "clusterrun/py.typed" in names


def test_the_source_archive_can_make_the_wheel(built):
    """The source archive holds templates, job specs, configs, examples and tests beside the package."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {name.split("/")[1] for name in names if name.startswith("templates/")} == TEMPLATES
    for path in (*SPECS, ROOT / "pyproject.toml", ROOT / "README.md", Path(__file__), *(ROOT / "configs").iterdir()):
        assert str(path.relative_to(ROOT)) in names
