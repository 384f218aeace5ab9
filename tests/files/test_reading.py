"""Reading ends, whatever is at the path of a file."""

from __future__ import annotations

import ast
import os
import tracemalloc
from pathlib import Path

import pytest

import clusterrun
from clusterrun.files.control_characters import make_printable
from clusterrun.files.reading import (
    UnreadableFileError,
    describe_fault,
    is_file,
    is_folder,
    open_regular,
    read_bytes,
    read_text,
)

PACKAGE = Path(clusterrun.__file__).parent


def test_a_regular_file(tmp_path: Path) -> None:
    """Its text is read up to the limit; a file of exactly the limit is accepted."""
    file = tmp_path / "file"
    file.write_text("naïve\n", encoding="utf-8")
    assert read_text(file) == "naïve\n"
    assert read_bytes(file, 7) == "naïve\n".encode()
    with pytest.raises(UnreadableFileError, match=r"is larger than 6 bytes"):
        read_bytes(file, 6)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 200 << 30)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (make_fifo, "is not a regular file"),
        (link_to_device, "is not a regular file"),
        (make_folder, "is a directory"),
        (make_sparse, "is larger than 67108864 bytes"),
    ],
)
def test_a_path_that_is_not_a_readable_file(tmp_path: Path, make: object, what: str) -> None:
    """The error has the path and the reason."""
    path = tmp_path / "file"
    assert callable(make)
    make(path)
    with pytest.raises(UnreadableFileError) as raised:
        read_bytes(path)
    assert describe_fault(raised.value) == f"{path}: {what}"


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """A command that reads thousands of files uses one descriptor, also for refused files."""
    file, fifo = tmp_path / "file", tmp_path / "fifo"
    file.touch()
    os.mkfifo(fifo)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - pathlib has no list of descriptors
    for _ in range(20):
        with open_regular(file):
            pass
        with pytest.raises(UnreadableFileError):
            read_bytes(fifo)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 30), "a\0b"])
def test_a_string_that_cannot_be_a_path(tmp_path: Path, name: str) -> None:
    """It is neither a file nor a folder, and nothing is raised."""
    assert not is_file(tmp_path / name)
    assert not is_folder(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("loss 0.3\tof\n2", "loss 0.3\tof\n2"),
        ("\x1b]0;title\x07\x1b[2Jgone", "?]0;title??[2Jgone"),
        ("\x9b31m", "?31m"),
        ("txt.\u202eexe", "txt.?exe"),
        ("a\rb\x7f", "a?b?"),
        ("数据 naïve 🤗", "数据 naïve 🤗"),
    ],
)
def test_terminal_control_characters_are_replaced(text: str, shown: str) -> None:
    """Control characters and marks that reorder a line are replaced; all other text is kept."""
    assert make_printable(text) == shown


# Other readers, and why they may: the file belongs to the package, or to the kernel.
OTHER_READERS = {
    "files/reading.py": "it is the reader",
    "planning/sections.py": "the package's own functions",
    "planning/strategy/installed.py": "the installed accelerate and transformers",
    "starter/oracle/events.py": "the package's own recorders, and what they wrote, of limited size",
    "site_checks/on_nodes.py": "the package's own script",
    "upkeep/notification.py": "the package's own functions",
    "training/checkpointing/memory.py": "/proc and /sys",
    "local.py": "/proc, and files that it makes",
    "run_folder/ownership.py": "/proc, and process ids with checks of their own",
    "training/checkpointing/checksum.py": "files of a size that the manifest names",
    "training/checkpointing/manifest.py": "opens files to flush them",
    "training/stopping/requests.py": "a log that it appends to",
}
READERS = {"read_text", "read_bytes", "open"}


def test_files_are_read_in_one_place() -> None:
    """No other module opens a file for reading, so that each read has a limit."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and reads(node)
    }
    assert found == set(OTHER_READERS)


def reads(call: ast.Call) -> bool:
    """Return whether a call is a file's `read_text`, `read_bytes` or `open` for reading."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and not writes(call)
    named = isinstance(call.func, ast.Attribute) and call.func.attr in READERS
    return named and not writes(call)


def writes(call: ast.Call) -> bool:
    """Return whether a call opens a file only for writing."""
    text = ast.unparse(call)
    return "O_WRONLY" in text or "O_CREAT" in text or "'w" in text


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    """A training near its memory limit reads its manifest: only the file's size is allocated."""
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    tracemalloc.start()
    try:
        read_bytes(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
