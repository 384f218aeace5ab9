"""The statuses of ended runs in one file of the index, so that `list` reads no folders of theirs.

A line is valid as long as the run's index entry has not changed: `submit` and `resume` rewrite the
entry, and `resume` withdraws the line before it starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clusterrun.files.reading import read_text
from clusterrun.run_folder.index import Index
from clusterrun.run_folder.records import locked, write_whole
from clusterrun.run_status.file_status import RunStatus

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from typing import Any

_SPARE = 1000  # obsolete lines, in addition to as many as are in use, before the file is rewritten


@dataclass(frozen=True)
class Summaries:
    """The summaries of one user's ended runs."""

    index: Index

    @property
    def path(self) -> Path:
        """The file: JSON lines; the last line of each run is the valid one."""
        return self.index.folder / "ended"

    def read(self, names: Mapping[str, int]) -> dict[str, RunStatus]:
        """Return the valid records; `names` are the index's entries and modification times."""
        summaries = {}
        for run_id, (changed, values) in self._read_lines().items():
            if (
                values is not None
                and names.get(run_id) == changed
                and (status := _parse_status(values))
            ):
                summaries[run_id] = status
        return summaries

    def add(self, ended: Mapping[str, RunStatus], names: Mapping[str, int]) -> None:
        """Record the statuses of ended runs; ignore disk errors, which only cost time."""
        with suppress(OSError):
            self._append(
                [[run_id, names[run_id], status.as_dict()] for run_id, status in ended.items()],
                names,
            )

    def forget(self, run_id: str) -> None:
        """Withdraw the record of a run that is about to restart."""
        if self.path.exists():
            with suppress(OSError):  # `resume` also rewrites the run's entry
                self._append([[run_id, 0, None]], {})

    def _append(self, lines: list[list[Any]], names: Mapping[str, int]) -> None:
        if not lines:
            return
        self.index.make()
        with locked(self.path.with_suffix(".lock")):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "a+", encoding="utf-8") as file:
                file.write(
                    "\n".join(["", *map(json.dumps, lines), ""])
                )  # the file may end in half a line
                file.seek(0)
                count = sum(len(line) > 1 for line in file)
            if names and count > 2 * len(names) + _SPARE:
                self._compact(names)

    def _compact(self, names: Mapping[str, int]) -> None:
        kept = {
            run_id: line
            for run_id, line in self._read_lines().items()
            if names.get(run_id) == line[0]
        }
        write_whole(
            self.path, "".join(json.dumps([run_id, *line]) + "\n" for run_id, line in kept.items())
        )

    def _read_lines(self) -> dict[str, tuple[int, dict[str, Any] | None]]:
        try:
            text = read_text(self.path, errors="replace")
        except OSError:  # none yet, or one that cannot be read: it is rebuilt
            return {}
        lines = {}
        for line in filter(None, text.splitlines()):
            try:
                run_id, changed, values = json.loads(line)
            except (ValueError, TypeError):  # the writer was killed in the middle of the line
                continue
            lines[str(run_id)] = (changed, values)
        return lines


def _parse_status(values: Mapping[str, Any]) -> RunStatus | None:
    try:
        return RunStatus.from_dict(values)
    except (TypeError, ValueError, KeyError):  # written by another version
        return None
