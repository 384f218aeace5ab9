"""Random corruption of a checkpoint, which must always be detected."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from clusterrun.training.checkpointing.manifest import find_damage


def _flip(data: bytes) -> bytes:
    spoiled = bytearray(data)
    for bit in random.sample(range(8 * len(data)), random.choice([1, 1, 1, 2, 17])):  # noqa: S311 - not security-relevant
        spoiled[bit // 8] ^= 1 << bit % 8
    return bytes(spoiled)


def _truncate(data: bytes) -> bytes:
    return data[: random.randrange(len(data))]  # noqa: S311


def _append(data: bytes) -> bytes:
    return data + random.randbytes(random.randint(1, 4096))  # noqa: S311


def _overwrite(data: bytes) -> bytes:
    """Overwrite a block of the file with other content, as a faulty file system does."""
    start = random.randrange(len(data))  # noqa: S311
    block = data[start : start + 4096]
    damaged = bytes(byte ^ random.randint(1, 255) for byte in block)  # noqa: S311
    return data[:start] + damaged + data[start + 4096 :]


SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "bits flipped": _flip,
    "truncated": _truncate,
    "appended": _append,
    "block overwritten": _overwrite,
}
MISSING = "missing"


def spoil(
    checkpoint: Path, count: int
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """Corrupt every file of a checkpoint in every way, `count` times in all, and restore it.

    Returns the number of corruptions, and how many of them were detected, by file and kind.
    """
    made: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    kinds = [*SPOILERS, MISSING]
    for number in range(count):
        path, kind = files[number % len(files)], kinds[number // len(files) % len(kinds)]
        data = path.read_bytes()
        if kind == MISSING:
            path.unlink()
        else:
            path.write_bytes(SPOILERS[kind](data))
        made[path.name, kind] += 1
        found[path.name, kind] += find_damage(checkpoint) is not None
        path.write_bytes(data)
        if (reason := find_damage(checkpoint)) is not None:
            raise SystemExit(f"a complete checkpoint was reported as corrupt: {reason}")
    return made, found
