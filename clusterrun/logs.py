"""What a run printed, attempt by attempt."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from clusterrun.errors import ClusterError
from clusterrun.index import Index, Run
from clusterrun.records import read_record
from clusterrun.track import run_status

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
    attempts = run.paths.attempts()
    if attempt is not None:
        path = run.paths.log(f"{attempt:04d}")
        if not path.exists():
            raise ClusterError(f"{run.run_id} has no attempt {attempt}", f"its attempts: 1 to {len(attempts)}")
        return path
    if attempts and run.paths.log(attempts[-1]).exists():
        return run.paths.log(attempts[-1])
    slurm = sorted(run.paths.logs.glob("slurm-*.out"))
    if slurm:
        return slurm[-1]
    raise ClusterError(f"{run.run_id} has printed nothing yet", f"`clusterrun status {run.run_id}` says what it does")


def _whole_log(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        while piece := file.read(_PIECE):
            yield piece


def _followed(run: Run, attempt: int | None) -> Iterator[str]:
    number, ended, asked = attempt, False, 0.0
    offsets: dict[Path, int] = {}
    while True:
        if not ended and time.monotonic() - asked > _ASK_EVERY:
            ended, asked = run_status(run).state.final, time.monotonic()
        fresh = False
        for path in _logs_from(run, number):
            piece, offsets[path] = _read_on(path, offsets.get(path, 0))
            fresh = fresh or bool(piece)
            if piece:
                yield piece
        if number is None:
            number = max(1, len(run.paths.attempts()))
        if not fresh and ended:
            return
        if not fresh:
            ended = ended or _wrote_final_end(run)
            time.sleep(_POLL_SECONDS)


def _wrote_final_end(run: Run) -> bool:
    """The end that the script writes is seen without asking Slurm."""
    attempts = run.paths.attempts()
    return bool(attempts) and read_record(run.paths.end(attempts[-1])).get("next") == "end"


def _logs_from(run: Run, number: int | None) -> list[Path]:
    """List the logs from an attempt on; without one, from the last that there is."""
    attempts = run.paths.attempts()
    first = number if number is not None else max(1, len(attempts))
    return [path for name in attempts if int(name) >= first and (path := run.paths.log(name)).exists()]


def _read_on(path: Path, offset: int) -> tuple[str, int]:
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    return data.decode("utf-8", errors="replace"), offset + len(data)
