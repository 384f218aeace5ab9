"""The order of a test's calls that write files to the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class DiskCalls:
    """Records fsync with the content at that time, and rename; both still do their work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, str, str]] = []
        fsync, replace, rename = os.fsync, Path.replace, Path.rename

        def traced_fsync(descriptor: int) -> None:
            fsync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self.made.append(("fsync", path.name, "" if path.is_dir() else path.read_text()))

        def traced_replace(path: Path, target: Path) -> Path:
            self.made.append(("rename", path.name, Path(target).name))
            return replace(path, target)

        def traced_rename(path: Path, target: Path) -> Path:
            self.made.append(("rename", path.name, Path(target).name))
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", traced_fsync)
        monkeypatch.setattr(Path, "replace", traced_replace)
        monkeypatch.setattr(Path, "rename", traced_rename)

    @property
    def names(self) -> list[tuple[str, str]]:
        """The names of the calls, without their arguments."""
        return [(call, name) for call, name, _ in self.made]


def open_descriptors() -> int:
    """Count the open files of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
