"""CRC-32 of large files in several threads; zlib releases the interpreter's lock."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

_SEGMENT = 32 << 20  # bytes per task of a thread
_CHUNK = 1 << 20  # bytes per read, which stay in the processor's cache for the checksum
_POLYNOMIAL = 0xEDB88320  # of CRC-32, lowest power first
_ONE = 1 << 31  # the polynomial 1 in that notation


class Sum(NamedTuple):
    """The size in bytes and CRC-32 of a file or a part of one."""

    size: int
    crc32: int


def start_checksum(path: Path, size: int, pool: Executor) -> Callable[[], Sum]:
    """Start to read `size` bytes of a file; return a function that waits for the sum.

    That function raises OSError if the file cannot be read.
    """
    parts = [pool.submit(_checksum_part, path, start) for start in range(0, max(size, 1), _SEGMENT)]
    return lambda: _join_parts([part.result() for part in parts])


def _checksum_part(path: Path, start: int) -> Sum:
    size = checksum = 0
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while count := file.readinto(buffer[: _SEGMENT - size]):
            checksum = zlib.crc32(buffer[:count], checksum)
            size += count
    return Sum(size, checksum)


def _join_parts(parts: list[Sum]) -> Sum:
    whole = parts[0]
    for part in parts[1:]:
        whole = Sum(whole.size + part.size, combine_crc32(whole.crc32, part))
    return whole


def combine_crc32(first: int, second: Sum) -> int:
    """Return the CRC-32 of two concatenated pieces of data, as zlib's `crc32_combine` does."""
    return _multiply(_power_of_x(8 * second.size), first) ^ second.crc32


@lru_cache
def _power_of_x(exponent: int) -> int:
    """Return x to a power, modulo the polynomial."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _multiply(result, square)
        square, exponent = _multiply(square, square), exponent >> 1
    return result


def _multiply(one: int, other: int) -> int:
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = (one << 1) & 0xFFFFFFFF
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
