"""The module command, as Debian's packages lmod and environment-modules (Tcl) install it.

A suite's package is unpacked once into its own folder, which a cluster lays over /usr and /etc of
some nodes, and kept where `suites.py` keeps the suites. It takes some seconds and 30 MB.
"""

from __future__ import annotations

from pathlib import Path

from tests.slurm.cluster.suites import MAKING_SECONDS, SUITE_OF, answer, mirror, once

PACKAGES = ("lmod", "environment-modules")
# What the packages need but a suite with Slurm lacks; its libc and tools are not replaced.
KEPT = ("lmod_", "environment-modules_", "lua", "tcl", "libtcl")
UNPACK = """
cd "$1"
for package in "${@:2}"; do
  dpkg-deb --fsys-tarfile "archives/$package" | tar -x
done
rm -rf archives lists sources.list
"""


def module_package(generation: str, package: str) -> Path:
    """Return a package of a generation's suite, unpacked. Raises Unavailable."""
    name = SUITE_OF[generation]
    return once(f"{name}-{package}", lambda folder: unpack(name, package, folder))


def unpack(suite: str, package: str, folder: Path) -> None:
    """Download a package and what it depends on with apt, with lists of its own, and unpack both."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "archives" / "partial").mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb {mirror()} {suite} main\n")
    answer(apt(folder, "update"), MAKING_SECONDS)
    answer(apt(folder, "install", "--yes", "--download-only", package), MAKING_SECONDS)
    names = [path.name for path in (folder / "archives").glob("*.deb")]
    kept = [name for name in names if name.startswith(KEPT)]
    answer(["bash", "-ec", UNPACK, "bash", str(folder), *kept], MAKING_SECONDS)


def apt(folder: Path, *words: str) -> list[str]:
    """Return an apt-get command that knows no installed package, and writes into this folder only."""
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": "/dev/null",
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    return ["apt-get", "--quiet=2", *options, *words]
