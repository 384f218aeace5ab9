"""Check the folders that runs need: writable, with free space, and visible from every node."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from clusterrun.site_checks.finding import Finding, ok, problem, warning

_SECONDS = 10.0
LITTLE_ROOM = 20 * 10**9
"""Bytes of a few checkpoints of a model with a billion parameters and its optimizer state."""
# Names of `stat --file-system --format=%T`.
_IN_MEMORY = {"tmpfs", "ramfs", "hugetlbfs"}
_LOCAL = {"ext2/ext3", "xfs", "btrfs", "zfs", "overlayfs", "f2fs", "reiserfs", "jfs", "msdos"}
_OF_ONE_NODE = ("/tmp", "/var/tmp", "/dev/shm", "/run")  # noqa: S108 - listed because runs must not be there


@dataclass(frozen=True)
class RunRootFacts:
    """The location of run folders: the nearest existing folder and its file system."""

    folder: Path
    there: Path
    mount: Path
    kind: str
    free: int
    """Free bytes for this user."""
    files: int | None
    """Free files; None if the file system does not count them."""
    writable: bool


def check_run_root(folder: Path) -> list[Finding]:
    """Check the run root, which may not exist yet."""
    try:
        return judge_run_root(inspect_folder(folder))
    except OSError as error:  # a closed parent folder, or a file server that is not responding
        what = f"{folder}: {(error.strerror or str(error)).lower()}"
        return [
            problem(
                "run root", what, "set another run_root in the profile, on the cluster's scratch"
            )
        ]


def inspect_folder(folder: Path) -> RunRootFacts:
    """Inspect a folder that may not exist yet. Raises OSError."""
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    room = os.statvfs(there)
    mount = next((place for place in (there, *there.parents) if place.is_mount()), Path("/"))
    files = room.f_favail if room.f_files else None
    free = room.f_bavail * room.f_frsize
    return RunRootFacts(
        folder,
        there,
        mount,
        _file_system_type(there),
        free,
        files,
        os.access(there, os.W_OK | os.X_OK),
    )


def _file_system_type(folder: Path) -> str:
    answer = _run_command(["stat", "--file-system", "--format=%T", str(folder)])
    return answer.strip() or "unknown"


def judge_run_root(place: RunRootFacts) -> list[Finding]:
    """Judge the run root."""
    if not place.writable:
        what = f"cannot create {place.folder}: {place.there} is not writable for you"
        return [
            problem(
                "run root", what, "set another run_root in the profile, on the cluster's scratch"
            )
        ]
    return [_judge_sharing(place), *_judge_space(place)]


def _judge_sharing(place: RunRootFacts) -> Finding:
    of_one = any(
        place.there.is_relative_to(name) and Path(name).is_relative_to(place.mount)
        for name in _OF_ONE_NODE
    )
    what, fix = (
        f"{place.folder}, on {place.kind} ({place.mount})",
        "set run_root to a folder that every node sees",
    )
    if of_one or place.kind in _IN_MEMORY:
        return problem("run root", f"{what}: local to each machine", fix)
    if place.kind in _LOCAL:
        return warning(
            "run root",
            f"{what}: a local file system of this machine",
            "check whether the nodes see it with `clusterrun doctor --on-nodes`",
        )
    return ok("run root", what)


def _judge_space(place: RunRootFacts) -> list[Finding]:
    findings = []
    what = f"{place.free / 1e9:.1f} GB free at {place.there}"
    if place.free < LITTLE_ROOM:
        findings.append(
            warning(
                "space",
                what,
                "see what old runs use with `clusterrun clean --dry-run --older-than 30d`",
            )
        )
    else:
        findings.append(ok("space", what))
    if place.files is not None and place.files < 10_000:
        findings.append(
            warning(
                "files",
                f"{place.files} free files at {place.there}",
                "remove files that are not needed",
            )
        )
    return findings


def query_quota() -> str:
    """Return the output of quota(1); empty if it is not installed."""
    return _run_command(["quota", "--no-wrap"]) if shutil.which("quota") else ""


def check_quota(text: str) -> list[Finding]:
    """Judge the output of quota(1), which marks an exceeded limit with an asterisk."""
    findings = []
    for line in text.splitlines():
        match = re.match(
            r"\s*(?P<where>\S+)\s+(?P<used>\d+)(?P<over>\*?)\s+(?P<soft>\d+)\s+(?P<hard>\d+)", line
        )
        limit = int(match["soft"]) or int(match["hard"]) if match else 0
        if match and limit:
            findings.append(_judge_quota(match, limit))
    return findings


def _judge_quota(row: re.Match[str], limit: int) -> Finding:
    share = int(row["used"]) / limit
    # quota(1) counts blocks of 1024 bytes.
    used_gb, limit_gb = (blocks * 1024 / 1e9 for blocks in (int(row["used"]), limit))
    what = f"{row['where']}: {used_gb:.1f} of {limit_gb:.1f} GB"
    fix = "remove files that are not needed; the index of runs is in your home"
    if row["over"]:
        return problem("quota", f"{what}: used up", fix)
    return warning("quota", what, fix) if share > 0.9 else ok("quota", what)


def _run_command(argv: list[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
