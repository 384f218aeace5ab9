"""Compare the recorded code of two runs, or of a run with the files as they are now."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clusterrun.code_record.git import EMPTY_TREE, Git, GitFault, copy_index, open_repository
from clusterrun.code_record.recording import CodeRecord, add_work_tree
from clusterrun.errors import ClusterError


@dataclass(frozen=True)
class RecordedCode:
    """The code of a run: its record, and its patch."""

    run_id: str
    record: CodeRecord
    patch: bytes


def compare_code(
    first: RecordedCode, second: RecordedCode | None, environment: Mapping[str, str]
) -> str:
    """Return the differences between the code of two runs as git shows them.

    Without a second run, the first is compared with the files in its folder now. Files whose
    changes were withheld are left out. Raises ClusterError if git fails.
    """
    try:
        with _open(first, environment) as repository:
            before = _recorded_tree(repository, first)
            after = _recorded_tree(repository, second) if second else _present_tree(repository)
            withheld = {*first.record.withheld, *(second.record.withheld if second else ())}
            words = [
                "diff",
                "--no-color",
                "--no-ext-diff",
                "--no-textconv",
                before,
                after,
                "--",
                ":/",
            ]
            left_out = [f":(top,literal,exclude){name}" for name in sorted(withheld)]
            return repository.call(*words, *left_out).decode(errors="replace")
    except (GitFault, OSError) as error:
        raise ClusterError(f"the code cannot be compared: {error}") from error


@contextmanager
def _open(code: RecordedCode, environment: Mapping[str, str]) -> Iterator[Git]:
    with (
        tempfile.TemporaryDirectory(prefix="clusterrun-code-") as scratch,
        open_repository(Path(code.record.folder), environment, Path(scratch)) as repository,
    ):
        yield repository


def _recorded_tree(repository: Git, code: RecordedCode) -> str:
    """Return the tree of a run's code: its commit with its patch. Raises GitFault."""
    repository.call("read-tree", code.record.commit or EMPTY_TREE)
    if code.patch:
        repository.call("apply", "--cached", "--whitespace=nowarn", "-", sent=code.patch)
    return _write_tree(repository)


def _present_tree(repository: Git) -> str:
    """Return the tree of the files as they are now. Raises GitFault."""
    copy_index(repository)
    add_work_tree(repository)
    return _write_tree(repository)


def _write_tree(repository: Git) -> str:
    return repository.call("write-tree").decode().strip()
