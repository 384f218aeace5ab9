"""What differs between two runs: their specs, and the code that they were submitted with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clusterrun.code_record.comparing import RecordedCode, compare_code
from clusterrun.code_record.recording import CodeRecord, read_code_record
from clusterrun.errors import ClusterError
from clusterrun.files.reading import read_bytes
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.saved_spec import read_saved_spec
from clusterrun.run_status.named_run import find_run


@dataclass(frozen=True)
class SpecDifference:
    """A value that differs between the specs of two runs."""

    key: str
    """The key, with dots between levels."""
    first: str | None
    """The value in the first run; None: not set."""
    second: str | None
    """The value in the second run; None: not set."""


@dataclass(frozen=True)
class RunDifference:
    """What differs between two runs, or between the code of a run and the files now."""

    first: str
    """The id of the first run."""
    second: str | None
    """The id of the second run; None: the files as they are now."""
    spec: tuple[SpecDifference, ...]
    """The values of the spec that differ; none without a second run."""
    first_code: CodeRecord
    """The code that the first run was submitted with."""
    second_code: CodeRecord | None
    """The code that the second run was submitted with."""
    patch: str
    """The differences of the code, as git prints them."""


def diff(first: str, second: str | None = None) -> RunDifference:
    """Compare two runs, or the code of one with the files in its repository now.

    Raises SpecError if a run is not found, ClusterError without a record of the code, or if git
    cannot compare it.
    """
    one = find_run(first)
    other = None if second is None else find_run(second)
    code = _read_code(one)
    other_code = None if other is None else _read_code(other)
    return RunDifference(
        one.run_id,
        None if other is None else other.run_id,
        tuple(_compare_specs(one, other)) if other else (),
        code.record,
        other_code.record if other_code else None,
        compare_code(code, other_code, os.environ),
    )


def _read_code(run: RunRef) -> RecordedCode:
    """Return the code of a run; a task has that of its array."""
    for paths in (run.paths, RunPaths(run.paths.folder.parent)):
        record = read_code_record(paths.code)
        if record and record.folder and not record.fault:
            patch = read_bytes(paths.code_patch) if paths.code_patch.exists() else b""
            return RecordedCode(run.run_id, record, patch)
        if record:
            hint = "submit from a folder in a git repository to have the code recorded"
            what = record.fault or "it was not in a git repository"
            raise ClusterError(f"the code of {run.run_id} is not recorded: {what}", hint)
    raise ClusterError(
        f"the code of {run.run_id} is not recorded",
        "runs of version 0.2 and newer have a record",
    )


def _compare_specs(first: RunRef, second: RunRef) -> Iterator[SpecDifference]:
    one, other = (dict(_flatten(_spec_of(run))) for run in (first, second))
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            yield SpecDifference(key, one.get(key), other.get(key))


def _spec_of(run: RunRef) -> Mapping[str, Any]:
    return read_saved_spec(run.paths.folder) or read_saved_spec(run.paths.folder.parent)


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        yield key, ", ".join(map(str, value))
    else:
        yield key, str(value).lower() if isinstance(value, bool) else str(value)
