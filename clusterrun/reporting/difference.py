"""What differs between two runs: their specs, and the code that they were submitted with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from clusterrun.code_record.comparing import RecordedCode, compare_code
from clusterrun.code_record.recording import CodeRecord, read_code_record
from clusterrun.errors import ClusterError
from clusterrun.files.reading import read_bytes
from clusterrun.run_folder.index import RunRef
from clusterrun.run_folder.members import own_values
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.saved_spec import flatten_spec, read_saved_spec
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
    first_code: CodeRecord | None
    """The code that the first run was submitted with; None if it is not recorded."""
    second_code: CodeRecord | None
    """The code that the second run was submitted with."""
    patch: str
    """The differences of the code, as git prints them."""
    fault: str
    """Why the code of two runs was not compared; empty if it was."""


def diff(first: str, second: str | None = None) -> RunDifference:
    """Compare two runs, or the code of one with the files in its repository now.

    Raises SpecError if a run is not found; ClusterError if a single run has no record of its code,
    or if git cannot compare it with the files.
    """
    one = find_run(first)
    if second is None:
        code = _read_code(one)
        patch = compare_code(code, None, os.environ)
        return RunDifference(one.run_id, None, (), code.record, None, patch, "")
    other = find_run(second)
    spec = tuple(_compare_specs(one, other))
    try:
        code, after = _read_code(one), _read_code(other)
        patch = compare_code(code, after, os.environ)
    except ClusterError as error:
        return RunDifference(one.run_id, other.run_id, spec, None, None, "", error.what)
    return RunDifference(one.run_id, other.run_id, spec, code.record, after.record, patch, "")


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
    one, other = _read_values(first), _read_values(second)
    for key in sorted({*one, *other}):
        if one.get(key) != other.get(key):
            yield SpecDifference(key, one.get(key), other.get(key))


def _read_values(run: RunRef) -> dict[str, str]:
    """Return the values of a run's spec; a member of a sweep has its own, too."""
    spec = read_saved_spec(run.paths.folder) or read_saved_spec(run.paths.folder.parent)
    shared = flatten_spec({key: spec[key] for key in spec if key != "sweep"})
    return {**shared, **own_values(run.paths)}
