"""The checkpoints of a run: whether each is complete, and from which one it resumes."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.run_folder.array_members import list_numbers, refuse_array
from clusterrun.run_folder.index import Index, RunRef, describe_closed_folder
from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.run_folder.saved_spec import read_saved_spec, section_of
from clusterrun.run_status.named_run import find_run

TYPE_CHECKING = False  # importing `typing` adds 6 ms to each start
if TYPE_CHECKING:
    from typing import Any

_STEP_NAME = re.compile(r"step-(?P<step>\d+)-(?P<attempt>\d+)", re.ASCII)
_TRAINER_NAME = re.compile(r"checkpoint-(?P<step>\d+)", re.ASCII)  # transformers.Trainer's names


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk; None: unknown."""

    name: str
    """The name of its folder or file."""
    path: str
    """Its folder or file."""
    step: int | None
    """The number of optimizer steps done in it."""
    attempt: int | None
    """The attempt that wrote it."""
    size: int
    """Total size of all its files, in bytes."""
    saved_at: float
    """When it was completed, in seconds since the epoch."""
    kind: str
    """Who wrote it: `clusterrun` (clusterrun.training), `Trainer` (transformers), or `script`."""
    verified: bool | None
    """Whether every byte matches its checksum; None if not checked, or without checksums."""
    fault: str
    """What is wrong with it; empty if no fault is known."""
    used_on_resume: bool = False
    """Whether the run would resume from it."""

    @property
    def damaged(self) -> bool:
        """Whether it should have a complete manifest, and is incomplete or corrupt."""
        return bool(self.fault) and self.kind != "script"


def checkpoints(
    name: str,
    *,
    verify: bool = False,
    index: Index | None = None,
    report_progress: Callable[[int, int], object] | None = None,
) -> list[SavedCheckpoint]:
    """List the checkpoints of a run, oldest first; `verify` reads every byte of them.

    `report_progress` is called with the number of bytes read and the total.

    Checkpoints that a script writes itself are listed, not verified. Raises SpecError if no run
    has this name, ClusterError if its folder is closed to this user, or for an array.
    """
    run = find_run(name, index)
    if list_numbers(run):
        raise ClusterError(*refuse_array(run, "checkpoints"))
    try:
        return _list_checkpoints(run, verify=verify, report_progress=report_progress)
    except PermissionError as error:
        raise ClusterError(*describe_closed_folder(run.paths.folder)) from error


def last_checkpoint(run: RunRef) -> SavedCheckpoint | None:
    """Return the newest checkpoint, without reading its data; None before the first."""
    saved = read_record(run.paths.saves).get("checkpoint")
    if saved:
        path = run.paths.checkpoints / saved  # for a Trainer, a complete path
        return _read_checkpoint(path, verify=False) if path.is_dir() else None
    pattern = _read_script_pattern(run)
    return next(reversed(_find_script_checkpoints(pattern)), None) if pattern else None


def _list_checkpoints(
    run: RunRef, *, verify: bool, report_progress: Callable[[int, int], object] | None
) -> list[SavedCheckpoint]:
    pattern = _read_script_pattern(run)
    if pattern:
        paths = _find_script_checkpoints(pattern)
    else:
        folders = [*run.paths.checkpoints.glob("step-*"), *_find_trainer_folders(run.paths)]
        on_bytes = (
            _accumulate(report_progress, sum(map(_measure_size, folders)))
            if verify and report_progress
            else None
        )
        paths = sorted(
            filter(
                None, (_read_checkpoint(path, verify=verify, on_bytes=on_bytes) for path in folders)
            ),
            key=_sort_key,
        )
    taken = next((one for one in reversed(paths) if not one.fault), None)
    return [replace(one, used_on_resume=one is taken) for one in paths]


def _accumulate(
    report_progress: Callable[[int, int], object], total: int
) -> Callable[[int], object]:
    done = 0

    def add(size: int) -> None:
        nonlocal done
        done += size
        report_progress(done, total)

    return add


def _sort_key(one: SavedCheckpoint) -> tuple[int, int]:
    """Return the training library's sort key: the attempt, then the step."""
    return (one.attempt or 0) if one.kind == "clusterrun" else 0, one.step or 0


def _read_script_pattern(run: RunRef) -> str:
    """Return the absolute pattern of the script's own checkpoints; empty if it has none."""
    for folder in (run.paths.folder, run.paths.folder.parent):  # a task's spec is its array's
        work_dir = _read_work_dir(RunPaths(folder))
        if work_dir and RunPaths(folder).spec.exists():
            path = section_of(read_saved_spec(folder), "checkpoint").get("path")
            if not isinstance(path, str) or not path:
                return ""
            own = glob.escape(str(run.paths.folder))
            return str(Path(glob.escape(work_dir)) / path.replace("{run_dir}", own))
    return ""


def _read_work_dir(paths: RunPaths) -> str:
    """Return the working folder that `submit` recorded; empty if the record is missing."""
    try:
        return str(json.loads(read_record(paths.intent)["request"])["work_dir"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""


def _find_script_checkpoints(pattern: str) -> list[SavedCheckpoint]:
    paths = [Path(name) for name in glob.glob(pattern)]  # noqa: PTH207 - the user's pattern may be absolute
    checkpoints = [
        SavedCheckpoint(
            path.name,
            str(path),
            _parse_step(path),
            None,
            _measure_size(path),
            path.stat().st_mtime,
            "script",
            None,
            "",
        )
        for path in paths
    ]
    return [
        replace(one, fault="" if one.size else "empty")
        for one in sorted(checkpoints, key=lambda one: one.saved_at)
    ]


def _parse_step(path: Path) -> int | None:
    numbers = re.findall(r"\d+", path.name)
    return int(numbers[-1]) if numbers else None


def _find_trainer_folders(paths: RunPaths) -> Iterable[Path]:
    """List transformers.Trainer's checkpoints, whose full paths the run's records name."""
    records = [paths.saves, *(paths.resumed(name) for name in paths.attempts())]
    named = [Path(read_record(path).get("checkpoint", "")) for path in records]
    folders = {path.parent for path in named if path.is_absolute()}
    return [path for folder in folders for path in folder.glob("checkpoint-*")]


def _read_checkpoint(
    path: Path, *, verify: bool, on_bytes: Callable[[int], object] | None = None
) -> SavedCheckpoint | None:
    from clusterrun.training.checkpointing import manifest  # noqa: PLC0415 - needs threads and JSON

    match, content = (
        _STEP_NAME.fullmatch(path.name) or _TRAINER_NAME.fullmatch(path.name),
        manifest.read(path),
    )
    if match is None:
        return None
    attempt = match.groupdict().get("attempt") or (content or {}).get("attempt")
    fault = (
        manifest.find_damage(path, on_bytes)
        if verify
        else _compare_sizes(path, content, manifest.NAME)
    )
    sealed = path / manifest.NAME
    return SavedCheckpoint(
        name=path.name,
        path=str(path),
        step=int(match["step"]),
        attempt=None if attempt is None else int(attempt),
        size=_measure_size(path),
        saved_at=(sealed if sealed.exists() else path).stat().st_mtime,
        kind="clusterrun" if _STEP_NAME.fullmatch(path.name) else "Trainer",
        verified=fault is None if verify else None,
        fault=fault or "",
    )


def _compare_sizes(path: Path, content: dict[str, Any] | None, manifest_name: str) -> str | None:
    """Compare the file sizes with the manifest, without reading the files."""
    if content is None:
        return f"no complete {manifest_name}"
    for name, entry in content["files"].items():
        try:
            size = (path / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if size != entry["size"]:
            return f"{name} has {size} bytes instead of {entry['size']}"
    return None


def _measure_size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
