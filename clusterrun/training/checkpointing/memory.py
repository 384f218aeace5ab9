"""The memory that this process may still allocate, by the limits of machine, cgroup and process.

Slurm sets a job's memory limit in a cgroup (ConstrainRAMSpace), and may limit the address space
(VSizeFactor).
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
_V2 = "memory.max", "memory.current", ""


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the available bytes of memory, reclaimable page cache included; None if unknown.

    `root` is the folder of proc and sys. Cache that is not yet on disk does not count.
    """
    rooms = [_machine_room(root), _address_space_room(root), *_cgroup_rooms(root)]
    return min((max(room, 0) for room in rooms if room is not None), default=None)


def _machine_room(root: Path) -> int | None:
    return _read_numbers(root / "proc/meminfo", 1024).get("MemAvailable:")


def _address_space_room(root: Path) -> int | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    taken = _read_numbers(root / "proc/self/status", 1024).get("VmSize:")
    return None if limit == resource.RLIM_INFINITY or taken is None else limit - taken


def _cgroup_rooms(root: Path) -> Iterator[int]:
    """Yield what is left below each memory limit; each level of cgroups may have one."""
    for mount, path, names in _memory_hierarchies(root):
        for level in (path, *path.parents):
            room = _room_of_cgroup(mount / level, *names)
            if room is not None:
                yield room


def _memory_hierarchies(root: Path) -> Iterator[tuple[Path, Path, tuple[str, str, str]]]:
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            relative = Path(path.lstrip("/"))
            if "memory" in controllers.split(","):
                yield root / "sys/fs/cgroup/memory", relative, _V1
            elif not controllers:
                yield root / "sys/fs/cgroup", relative, _V2


def _room_of_cgroup(folder: Path, limit: str, usage: str, prefix: str) -> int | None:
    try:
        most, taken = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        if most == "max":
            return None
        cache = _read_numbers(folder / "memory.stat")
    except (OSError, ValueError):
        return None
    return int(most) - taken + _reclaimable_bytes(cache, prefix)


def _reclaimable_bytes(stat: Mapping[str, int], prefix: str) -> int:
    clean = stat.get(f"{prefix}inactive_file", 0) + stat.get(f"{prefix}active_file", 0)
    dirty = stat.get("total_dirty" if prefix else "file_dirty", 0)
    return max(clean - dirty, 0)


def _read_numbers(path: Path, unit: int = 1) -> dict[str, int]:
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {word[0]: int(word[1]) * unit for word in words if len(word) > 1 and word[1].isdigit()}
