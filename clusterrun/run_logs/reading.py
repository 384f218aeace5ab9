"""What a run printed, attempt by attempt: as it is, or line by line with who wrote it."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clusterrun.errors import ClusterError
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_logs.attribution import Line
from clusterrun.run_logs.filters import Sieve, Wanted, complain
from clusterrun.run_logs.ranks import ranks_of
from clusterrun.run_status.current import run_status
from clusterrun.run_status.from_files import last_end

_PIECE = 1 << 20
_POLL_SECONDS = 0.5
_ASK_EVERY = 10.0

Which = int | Literal["all"] | None
"""An attempt, all of them, or None: the last."""


def logs(
    name: str,
    *,
    attempt: Which = None,
    follow: bool = False,
    rank: int | None = None,
    node: str | None = None,
    grep: str | None = None,
    index: Index | None = None,
) -> Iterator[str]:
    """Give the output of a run in pieces: of its last attempt, unless `attempt` says which.

    With `follow` it goes on, over requeues and successors, until the run has ended. With `rank`, `node` or `grep` (a
    regular expression) the pieces are the lines that are that rank's or node's, or match. Raises SpecError for a bad
    pattern; ClusterError where there is no output, and at its end where no line names that rank or node.
    """
    wanted = Wanted(rank, node, grep)
    run = (index or Index()).find(name)
    if wanted.everything:
        return (text for _, text in _pieces(run, attempt, follow=follow))
    return (found.raw for found in _lines(run, attempt, wanted, follow=follow))


@dataclass(frozen=True)
class LogLine:
    """A line of the log of an attempt."""

    attempt: int
    """The attempt that printed it."""
    line: Line
    """Its number, its text, and the rank and node that wrote it, if it shows them."""
    raw: str
    """As it stands in the file, with its end; where it has none yet, without."""


def log_lines(
    name: str, wanted: Wanted, *, attempt: Which = None, follow: bool = False
) -> Iterator[LogLine]:
    """Give the lines of a run's output, each with who wrote it as far as it says so; as `logs` otherwise."""
    return _lines(Index().find(name), attempt, wanted, follow=follow)


def _pieces(run: RunRef, attempt: Which, *, follow: bool) -> Iterator[tuple[Path, str]]:
    if follow:
        return _followed(run, attempt)
    return _whole(_logs_of(run, attempt))


@dataclass
class _Log:
    """A log that is read on line by line."""

    sieve: Sieve
    attempt: int
    live: bool
    """Whether somebody watches: a progress bar is then given as it moves, before its line ends."""
    rest: str = ""

    def read(self, text: str) -> Iterator[LogLine]:
        """Give the lines that are whole now."""
        *whole, self.rest = (self.rest + text).split("\n")
        for line in whole:
            yield from self._given(f"{line}\n")
        if self.live and "\r" in self.rest:
            yield from self.end()

    def end(self) -> Iterator[LogLine]:
        """Give what stands behind the last line's end."""
        rest, self.rest = self.rest, ""
        yield from self._given(rest) if rest else ()

    def _given(self, raw: str) -> Iterator[LogLine]:
        line = self.sieve.read(raw)
        if line is not None:
            yield LogLine(self.attempt, line, raw)


def _lines(run: RunRef, attempt: Which, wanted: Wanted, *, follow: bool) -> Iterator[LogLine]:
    open_logs: dict[Path, _Log] = {}
    for path, text in _pieces(run, attempt, follow=follow):
        if path not in open_logs:
            number = _number(path)
            open_logs[path] = _Log(
                Sieve(wanted, ranks_of(run.paths, number)), number, follow and wanted.everything
            )
        yield from open_logs[path].read(text)
    for log in open_logs.values():
        yield from log.end()
    complain(wanted, [log.sieve for log in open_logs.values()])


def _number(path: Path) -> int:
    word = path.stem.removeprefix("attempt-")
    return int(word) if word.isdecimal() else 0


def _logs_of(run: RunRef, attempt: Which) -> list[Path]:
    written = _logs_from(run, 0)
    if isinstance(attempt, int):
        path = run.paths.log(f"{attempt:04d}")
        if not path.exists():
            raise ClusterError(
                f"{run.run_id} has no attempt {attempt}", f"its attempts: 1 to {len(written)}"
            )
        return [path]
    tasks = sorted(path.name for path in run.paths.folder.glob("task-*"))
    if tasks and not written:
        names = ", ".join(f"{run.run_id}-{name.removeprefix('task-')}" for name in tasks[:5])
        raise ClusterError(
            f"{run.run_id} is a job array, and each task has its own output", f"name one of {names}"
        )
    slurm = sorted(run.paths.logs.glob("slurm-*.out"))
    if not written and not slurm:
        hint = f"`clusterrun status {run.run_id}` says what it does"
        raise ClusterError(f"{run.run_id} has printed nothing yet", hint)
    return written if attempt == "all" and written else (written or slurm)[-1:]


def _whole(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            while piece := file.read(_PIECE):
                yield path, piece


@dataclass
class _Place:
    """How far a log that grows was read."""

    offset: int = 0
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def read_on(self, path: Path) -> str:
        with path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(_PIECE)
        self.offset += len(data)
        return self.decoder.decode(data)


def _followed(run: RunRef, attempt: Which) -> Iterator[tuple[Path, str]]:
    number = 0 if attempt == "all" else attempt
    ended, asked = False, 0.0
    places: dict[Path, _Place] = {}
    while True:
        if not ended and time.monotonic() - asked > _ASK_EVERY:
            ended, asked = _has_ended(run), time.monotonic()
        fresh = False
        for path in _logs_from(run, number):
            piece = places.setdefault(path, _Place()).read_on(path)
            fresh = fresh or bool(piece)
            if piece:
                yield path, piece
        if number is None:
            number = _newest(run)
        if not fresh and ended:
            return
        if not fresh:
            ended = ended or _has_ended(run, by_itself=True)
            time.sleep(_POLL_SECONDS)


def _has_ended(run: RunRef, *, by_itself: bool = False) -> bool:
    """The end that the script writes is seen without asking Slurm; a teammate, who may read logs only, sees none."""
    try:
        return last_end(run).get("next") == "end" if by_itself else run_status(run).state.final
    except (ClusterError, PermissionError):
        return False


def _logs_from(run: RunRef, number: int | None) -> list[Path]:
    """List the logs from an attempt on; without one, from the last that there is."""
    first = run.paths.log(f"{_newest(run) if number is None else number:04d}").name
    return sorted(path for path in run.paths.logs.glob("attempt-*.log") if path.name >= first)


def _newest(run: RunRef) -> int:
    written = sorted(
        path.stem.removeprefix("attempt-") for path in run.paths.logs.glob("attempt-*.log")
    )
    return int(written[-1]) if written else 1
