"""What a run printed, attempt by attempt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.index import Index, Run
from clusterrun.now import run_status
from clusterrun.written import last_end

_PIECE = 65536
_POLL_SECONDS = 0.5
_ASK_EVERY = 10.0


def logs(name: str, *, attempt: int | None = None, follow: bool = False, index: Index | None = None) -> Iterator[str]:
    """Give the output of an attempt in pieces (the last one, unless `attempt` says which).

    With `follow` it goes on, over requeues, until the run has ended. Raises ClusterError where there is no output.
    """
    run = (index or Index()).find(name)
    if follow:
        return _followed(run, attempt)
    return _whole_log(_log_of(run, attempt))


def _log_of(run: Run, attempt: int | None) -> Path:
    written = _logs_from(run, 0)
    if attempt is not None:
        path = run.paths.log(f"{attempt:04d}")
        if not path.exists():
            raise ClusterError(f"{run.run_id} has no attempt {attempt}", f"its attempts: 1 to {len(written)}")
        return path
    tasks = sorted(path.name for path in run.paths.folder.glob("task-*"))
    if tasks and not written:
        names = ", ".join(f"{run.run_id}-{name.removeprefix('task-')}" for name in tasks[:5])
        raise ClusterError(f"{run.run_id} is a job array, and each task has its own output", f"name one of {names}")
    slurm = sorted(run.paths.logs.glob("slurm-*.out"))
    if not written and not slurm:
        hint = f"`clusterrun status {run.run_id}` says what it does"
        raise ClusterError(f"{run.run_id} has printed nothing yet", hint)
    return (written or slurm)[-1]


def _whole_log(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        while piece := file.read(_PIECE):
            yield piece


def _followed(run: Run, attempt: int | None) -> Iterator[str]:
    number, ended, asked = attempt, False, 0.0
    offsets: dict[Path, int] = {}
    while True:
        if not ended and time.monotonic() - asked > _ASK_EVERY:
            ended, asked = _has_ended(run), time.monotonic()
        fresh = False
        for path in _logs_from(run, number):
            piece, offsets[path] = _read_on(path, offsets.get(path, 0))
            fresh = fresh or bool(piece)
            if piece:
                yield piece
        if number is None:
            number = _newest(run)
        if not fresh and ended:
            return
        if not fresh:
            ended = ended or _has_ended(run, by_itself=True)
            time.sleep(_POLL_SECONDS)


def _has_ended(run: Run, *, by_itself: bool = False) -> bool:
    """The end that the script writes is seen without asking Slurm; a teammate, who may read logs only, sees none."""
    try:
        return last_end(run).get("next") == "end" if by_itself else run_status(run).state.final
    except (ClusterError, PermissionError):
        return False


def _logs_from(run: Run, number: int | None) -> list[Path]:
    """List the logs from an attempt on; without one, from the last that there is."""
    first = run.paths.log(f"{_newest(run) if number is None else number:04d}").name
    return sorted(path for path in run.paths.logs.glob("attempt-*.log") if path.name >= first)


def _newest(run: Run) -> int:
    written = sorted(path.stem.removeprefix("attempt-") for path in run.paths.logs.glob("attempt-*.log"))
    return int(written[-1]) if written else 1


def _read_on(path: Path, offset: int) -> tuple[str, int]:
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    return data.decode("utf-8", errors="replace"), offset + len(data)
