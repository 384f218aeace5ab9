"""Other generations of Slurm than this machine's: Debian's suites, each in its own folder.

A suite's folder is made once, by debootstrap from the Debian mirror in this machine's apt sources,
and kept in /var/cache/clusterrun-tests (or CLUSTERRUN_TEST_SUITES). It takes half a minute and 300
MB.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

PYTHON_OF = {"3.11": "bookworm", "3.13": "trixie"}
"""Versions of Python, and the suite that has each."""
PYTHON_PACKAGES = "python3-venv"
SUITE_OF = {"22.05": "bookworm", "24.11": "trixie", "26.05": "forky"}
"""Each generation of Slurm, and the suite that has it."""
PACKAGES = "slurmctld,slurmd,slurm-client,slurmdbd,munge,iproute2,libffi8,libsqlite3-0,libexpat1"
SCRIPTS = Path("/usr/share/debootstrap/scripts")
MAKING_SECONDS = 300.0
# /bin and similar are links into /usr in every suite here, but not in every package.
UNPACK = """
cd "$1"
rm -rf debootstrap
for name in bin sbin lib lib64; do mkdir -p "usr/$name"; ln -s "usr/$name" "$name"; done
for package in var/cache/apt/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink
done
rm -rf var
# what update-alternatives would do
for program in usr/*bin/*-wlm; do [ -e "$program" ] || continue; ln -sf "${program##*/}" "${program%-wlm}"; done
"""
INSIDE = """
mount -t overlay -o "lowerdir=$1/usr:/usr" suite /usr
slurmd -V
"$2" -c "import ctypes, ssl, sqlite3"
"""


OVER_USR = """
mount -t overlay -o "lowerdir=$1/usr:/usr" suite /usr
shift
exec "$@"
"""


class Unavailable(Exception):
    """A generation of Slurm is not available here; the message has the reason."""


@dataclass(frozen=True)
class Suite:
    """A Debian suite on this machine's disk, and the version of its Slurm, such as 24.11.5."""

    folder: Path
    version: str


@lru_cache
def suite_with(generation: str) -> Suite:
    """Return the suite with this generation of Slurm; make it if it is missing. Raises Unavailable."""
    name = SUITE_OF[generation]
    folder = made(name, name, PACKAGES)
    found = version_in(folder)
    if not found.startswith(generation):
        raise Unavailable(f"Debian's {name} has Slurm {found} now, not {generation}")
    return Suite(folder, found)


@lru_cache
def with_python(version: str) -> tuple[str, ...]:
    """Return the words before a command that run it with the suite's /usr and this Python. Raises
    Unavailable.

    The suite has a separate folder: where Slurm runs, its python3 would replace this machine's.
    """
    name = PYTHON_OF[version]
    folder = made(name, f"{name}-python", PYTHON_PACKAGES)
    words = ("unshare", "--mount", "sh", "-ec", OVER_USR, "sh", str(folder))
    answer([*words, f"python{version}", "-c", "import ensurepip, ssl, venv"], 30)
    return words


def made(name: str, called: str, packages: str) -> Path:
    """Return the folder of a suite with these packages; make it if it is missing. Raises
    Unavailable.
    """
    return once(called, lambda draft: make(name, draft, packages))


def once(called: str, fill: Callable[[Path], None]) -> Path:
    """Return a kept folder; fill it if it is missing. Raises Unavailable.

    A draft is filled and renamed once it is complete, so that an interrupted one is never used.
    """
    store = Path(os.environ.get("CLUSTERRUN_TEST_SUITES", "/var/cache/clusterrun-tests"))
    folder = store / called
    try:
        store.mkdir(parents=True, exist_ok=True)
        with (store / f"{called}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                fill_draft(folder, fill)
    except OSError as error:
        raise Unavailable(f"cannot make {called} in {store}: {error}") from error
    return folder


def fill_draft(folder: Path, fill: Callable[[Path], None]) -> None:
    for left in folder.parent.glob(f"{folder.name}.making-*"):
        shutil.rmtree(left)
    draft = Path(mkdtemp(prefix=f"{folder.name}.making-", dir=folder.parent))
    try:
        fill(draft)
        draft.chmod(0o755)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def make(name: str, draft: Path, packages: str) -> None:
    """Fill a folder with a suite's packages, unpacked and not configured: none of their scripts
    runs.
    """
    script = SCRIPTS / name if (SCRIPTS / name).exists() else SCRIPTS / "sid"
    argv = ["debootstrap", "--download-only", "--variant=minbase", f"--include={packages}", name]
    answer([*argv, str(draft), mirror(), str(script)], MAKING_SECONDS)
    answer(["sh", "-ec", UNPACK, "sh", str(draft)], MAKING_SECONDS)


def mirror() -> str:
    """Return the mirror of Debian's archive in apt's sources. Raises Unavailable."""
    form = "$(REPO_URI) $(ORIGIN) $(LABEL)"
    for line in answer(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], 30
    ).splitlines():
        if line.endswith(" Debian Debian"):
            return line.split()[0]
    raise Unavailable("this machine's apt has no mirror of Debian")


def version_in(folder: Path) -> str:
    """Return the version of Slurm in a suite, if this Python runs in it, too. Raises Unavailable."""
    argv = ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", str(folder), sys.executable]
    return answer(argv, 30).split()[1]


def answer(argv: list[str], seconds: float) -> str:
    """Return a command's output. Raises Unavailable with its last line if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode:
        words = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("E:")]
        printed = (
            words or (done.stderr.splitlines() or done.stdout.splitlines() or ["no output"])[-1:]
        )
        raise Unavailable(f"{' '.join(argv[:3])} ...: {printed[-1]}")
    return done.stdout
