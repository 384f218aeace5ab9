"""Slurm's commands, container programs, and the Python of runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from clusterrun.job_spec.model import Environment
from clusterrun.planning.active_python import find_conda_base
from clusterrun.site_checks.finding import Finding, ok, problem, warning
from clusterrun.slurm.commands import NoAnswer
from clusterrun.slurm.queue import own_jobs

COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel")
_PACKAGES = ("torch", "accelerate", "transformers", "clusterrun")
_SECONDS = 60.0  # the first start of Python from a network file system
# Importing the packages would take seconds for torch alone.
ASK = f"""\
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {{"python": "%d.%d.%d" % sys.version_info[:3]}}
for name in {_PACKAGES!r}:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""


def check_commands() -> list[Finding]:
    """Check which of Slurm's commands are installed."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        fix = "run this on a login node, or put Slurm's bin folder on PATH"
        return [problem("commands", f"not on PATH: {', '.join(absent)}", fix)]
    if shutil.which("sacct") is None:
        return [
            warning(
                "commands",
                "sacct is not on PATH",
                "no action needed: the end of a run is read from its folder",
            )
        ]
    return [ok("commands", f"{', '.join(COMMANDS)} and sacct are on PATH")]


def check_status_query() -> list[Finding]:
    """Ask squeue what `status` asks: a site's own squeue may not know the options."""
    try:
        own_jobs()
    except NoAnswer as error:
        fix = "put Slurm's own squeue first on PATH: `type -a squeue` lists all"
        return [
            problem("squeue", f"it refuses what `status` asks: {str(error).splitlines()[0]}", fix)
        ]
    return []


def check_containers() -> Finding:
    """Check which container programs are installed."""
    here = [name for name in ("apptainer", "singularity", "enroot") if shutil.which(name)]
    return ok(
        "containers",
        f"{', '.join(here)} on this machine" if here else "neither apptainer nor singularity found",
    )


def find_python(environment: Environment, work_dir: Path) -> Path | None:
    """Return the environment's Python; None if modules or setup lines decide it on the nodes."""
    if environment.venv is not None:
        return work_dir / Path(environment.venv).expanduser() / "bin" / "python"
    if environment.uv is not None:
        return work_dir / Path(environment.uv).expanduser() / ".venv" / "bin" / "python"
    if environment.conda is not None and "/" in environment.conda:
        return work_dir / Path(environment.conda).expanduser() / "bin" / "python"
    base = environment.conda_base or find_conda_base(os.environ).get("conda_base")
    if environment.conda is not None and base and Path(base).name != "micromamba":
        return Path(base) / "envs" / environment.conda / "bin" / "python"
    return None


def check_python(python: Path | None) -> list[Finding]:
    """Query a Python for its version and packages."""
    if python is None:
        return [
            ok(
                "python",
                "the environment is set up on the nodes",
                "check it with `clusterrun doctor --on-nodes`",
            )
        ]
    try:
        done = subprocess.run(
            [str(python), "-c", ASK],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return check_versions(f"{python}", json.loads(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        fix = (
            "set environment.venv or conda in the profile or the spec to your training environment"
        )
        return [problem("python", f"{python}: {type(error).__name__}", fix)]


def check_versions(where: str, installed: dict[str, str | None]) -> list[Finding]:
    """Compare the versions in an environment with those of clusterrun's `train` extra."""
    versions = ", ".join(f"{name} {version}" for name, version in installed.items() if version)
    needed = required_versions()
    for name in ("accelerate", "torch"):
        if installed.get(name) is None:
            what = f"{where} ({versions}) has no {name}"
            return [
                problem(
                    "python",
                    what,
                    f"install {name}>={needed.get(name, '')} there; not needed for a `command`",
                )
            ]
    old = [
        f"{name}>={least}"
        for name, least in needed.items()
        if _is_older(installed.get(name), least)
    ]
    if old:
        return [
            warning(
                "python",
                f"{where}: {versions}",
                f"update to {', '.join(old)}, which clusterrun is tested with",
            )
        ]
    return [ok("python", f"{where}: {versions}")]


def required_versions() -> dict[str, str]:
    """Return the minimum versions of clusterrun's `train` extra."""
    try:
        lines = metadata.requires("clusterrun") or []
    except metadata.PackageNotFoundError:
        return {}
    rows = [
        re.match(r"([\w-]+)>=([\d.]+)", line) for line in lines if "train" in line.partition(";")[2]
    ]
    return {row[1]: row[2] for row in rows if row and row[1] in _PACKAGES}


def _is_older(version: str | None, least: str) -> bool:
    return version is not None and _version_numbers(version) < _version_numbers(least)


def _version_numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]
