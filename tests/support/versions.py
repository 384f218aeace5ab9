"""The versions that the tests run on; `python -m tests.support.versions` prints them."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "accelerate", "transformers", "deepspeed", "submitit", "pydantic", "PyYAML")
PROGRAMS = {"Slurm": ["slurmctld", "-V"], "bash": ["bash", "--version"]}


def versions() -> dict[str, str]:
    """Return the version of each, or "missing"."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found | {name: _version_of(argv) for name, argv in PROGRAMS.items()}


def release_of(package: str) -> tuple[int, ...]:
    """Return the first two numbers of an installed package's version, for comparisons."""
    return tuple(int(number) for number in re.findall(r"\d+", version(package))[:2])


def versions_line() -> str:
    """Return all versions in one line."""
    return "versions: " + ", ".join(f"{name} {found}" for name, found in versions().items())


def _version_of(argv: list[str]) -> str:
    if shutil.which(argv[0]) is None:
        return "missing"
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    match = re.search(r"\d+(\.\d+)+", done.stdout)
    return match[0] if match else "unknown"


if __name__ == "__main__":
    print(versions_line())
