"""The manifest of a checkpoint folder: its files with size and checksum, and facts on the state.

It is written last, so a folder without one is incomplete. It also has a checksum of itself.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from clusterrun.files.reading import read_bytes
from clusterrun.run_folder.records import write_whole
from clusterrun.training.checkpointing.checksum import Sum, start_checksum

NAME = "manifest.json"
VERSION = 1
_THREADS = 8
_END = ',\n "crc32": "%08x"\n}\n'
_END_LENGTH = len(_END % 0)

Entries = dict[str, dict[str, object]]


def seal(folder: Path, facts: Mapping[str, object], entries: Entries | None = None) -> None:
    """Flush all files of a folder, and write its manifest last: `version`, the facts, and `files`.

    `files` maps a relative path to `{"size": bytes, "crc32": 8 hex digits}`; `entries` is the
    result of `take_stock`, if it was called already. The facts must be JSON values. Raises OSError
    if the disk fails.
    """
    files = take_stock(folder) if entries is None else entries
    _write_manifest(folder, {"version": VERSION, **facts, "files": files})


def update_facts(folder: Path, facts: Mapping[str, object]) -> None:
    """Change facts in the manifest of a sealed folder, without checking its files.

    Raises OSError if the manifest is not valid or the disk fails; then the old one stays.
    """
    content = read(folder)
    if content is None:
        raise OSError(f"{folder.name} has no valid {NAME}")
    del content["crc32"]
    _write_manifest(folder, {**content, **facts})


def read(folder: Path) -> dict[str, Any] | None:
    """Return a folder's manifest without checking the files; None if it is missing or corrupt."""
    try:
        return _parse_manifest(read_bytes(folder / NAME))
    except (OSError, ValueError):
        return None


def find_damage(folder: Path, read_so_far: Callable[[int], object] | None = None) -> str | None:
    """Describe the damage of a checkpoint folder; None if every byte is as it was when sealed.

    All files in the manifest are read, and other files are ignored; `read_so_far` is called with
    the bytes of each.
    """
    try:
        content = _parse_manifest(read_bytes(folder / NAME))
    except FileNotFoundError:
        return f"it has no {NAME}"
    except OSError as error:
        return f"its {NAME} cannot be read: {error.strerror}"
    except ValueError as error:
        return f"its {NAME} {error}"
    files = content["files"]
    sizes = (_check_size(folder, name, files[name]) for name in sorted(files))
    return next(filter(None, sizes), None) or _find_wrong_content(folder, files, read_so_far)


def take_stock(
    folder: Path, mine: Callable[[str], bool] = lambda _: True, workers: Executor | None = None
) -> Entries:
    """Flush a tree; return the size and checksum of the paths for which `mine` is true.

    Checksums are computed during the flush, by `workers` or by several threads. Raises OSError.
    """
    names = sorted(_list_files(folder))
    with workers or ThreadPoolExecutor(_THREADS) as pool:
        flushes = pool.map(flush, [folder / name for name in names])
        sums = {
            name: start_checksum(folder / name, (folder / name).stat().st_size, pool)
            for name in filter(mine, names)
        }
        list(flushes)  # raises the errors of the flushes
        entries = {name: _manifest_entry(wait()) for name, wait in sums.items()}
    for parent, _, _ in _walk(folder):
        flush(Path(parent))
    return entries


def flush(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_manifest(folder: Path, content: Mapping[str, object]) -> None:
    body = json.dumps(content, indent=1, sort_keys=True).removesuffix("\n}")
    write_whole(folder / NAME, body + _END % zlib.crc32(body.encode()), mode=0o666)
    flush(folder)


def _walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    def reraise(error: OSError) -> None:  # by default os.walk silently skips unreadable folders
        raise error

    return os.walk(folder, topdown=False, onerror=reraise)


def _list_files(folder: Path) -> Iterable[str]:
    paths = (Path(parent, name) for parent, _, names in _walk(folder) for name in names)
    return (str(path.relative_to(folder)) for path in paths if path != folder / NAME)


def _manifest_entry(total: Sum) -> dict[str, object]:
    return {"size": total.size, "crc32": f"{total.crc32:08x}"}


def _parse_manifest(data: bytes) -> dict[str, Any]:
    body, end = data[:-_END_LENGTH], data[-_END_LENGTH:]
    if end != (_END % zlib.crc32(body)).encode():
        raise ValueError("is corrupt: its own checksum differs")
    content: dict[str, Any] = json.loads(data)
    if content.get("version") != VERSION:
        raise ValueError(
            f"has version {content.get('version')}, but this clusterrun reads version {VERSION}"
        )
    return content


def _check_size(folder: Path, name: str, entry: Mapping[str, Any]) -> str | None:
    try:
        size = (folder / name).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None if size == entry["size"] else f"{name} has {size} bytes instead of {entry['size']}"


def _find_wrong_content(
    folder: Path,
    files: Mapping[str, Mapping[str, Any]],
    read_so_far: Callable[[int], object] | None,
) -> str | None:
    reason = None
    with ThreadPoolExecutor(_THREADS) as pool:
        sums = {
            name: start_checksum(folder / name, entry["size"], pool)
            for name, entry in files.items()
        }
        for name in sorted(files):
            reason = _check_content(name, sums[name], files[name]["crc32"])
            if reason is not None:
                break
            if read_so_far:
                read_so_far(files[name]["size"])
        pool.shutdown(cancel_futures=True)  # one damaged file is enough
    return reason


def _check_content(name: str, wait: Callable[[], Sum], expected: str) -> str | None:
    try:
        return None if f"{wait().crc32:08x}" == expected else f"{name}'s checksum differs"
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
