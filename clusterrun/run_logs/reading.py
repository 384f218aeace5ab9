"""The output of a run by attempt: unchanged, or by line with rank and node."""

from __future__ import annotations

import codecs
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from clusterrun.errors import ClusterError
from clusterrun.files.reading import open_regular
from clusterrun.run_folder.array_members import list_numbers, refuse_array
from clusterrun.run_folder.index import Index, RunRef
from clusterrun.run_logs.attribution import AttributedLine
from clusterrun.run_logs.filters import LogFilter, Sieve, raise_if_nothing_matched
from clusterrun.run_logs.ranks import read_ranks
from clusterrun.run_status.current import run_status
from clusterrun.run_status.file_status import last_end
from clusterrun.run_status.named_run import find_run

_CHUNK_BYTES = 1 << 20
_POLL_SECONDS = 0.5
_ASK_EVERY = 10.0

AttemptChoice = int | Literal["all"] | None
"""An attempt number, all attempts, or None: the last attempt."""


def logs(
    name: str,
    *,
    attempt: AttemptChoice = None,
    follow: bool = False,
    rank: int | None = None,
    node: str | None = None,
    grep: str | None = None,
    index: Index | None = None,
) -> Iterator[str]:
    """Yield the output of a run in pieces, from its last attempt unless `attempt` is given.

    With `follow`, it continues after each requeue and in a successor until the run has ended. With
    `rank`, `node` or `grep` (a regular expression), the pieces are the matching lines. Raises
    SpecError for an invalid pattern; ClusterError without any output, for an array, and at the end
    if no line is from that rank or node.
    """
    log_filter = LogFilter(rank, node, grep)
    run = _find_single_run(name, index)
    if log_filter.everything:
        return (text for _, text in _read_pieces(run, attempt, follow=follow))
    return (entry.raw for entry in _read_lines(run, attempt, log_filter, follow=follow))


@dataclass(frozen=True)
class LogLine:
    """A line of the log of an attempt."""

    attempt: int
    """The attempt that printed it."""
    line: AttributedLine
    """Its number, text, rank and node, as far as it shows them."""
    raw: str
    """The line as it is in the file, including its line break."""


def log_lines(
    name: str, log_filter: LogFilter, *, attempt: AttemptChoice = None, follow: bool = False
) -> Iterator[LogLine]:
    """Yield the lines of a run's output with their rank and node; arguments as for `logs`."""
    return _read_lines(_find_single_run(name), attempt, log_filter, follow=follow)


def _find_single_run(name: str, index: Index | None = None) -> RunRef:
    """Find a run that has output of its own. Raises ClusterError for an array, whose tasks have."""
    run = find_run(name, index)
    numbers = list_numbers(run)
    if numbers:
        started = [one for one in numbers if list(run.task(one).paths.logs.glob("*"))]
        raise ClusterError(*refuse_array(run, "output", started))
    return run


def last_attempt(name: str, index: Index | None = None) -> int:
    """Return the newest attempt of a run that has a log, 1 before the first. Raises as `logs`."""
    return _newest_attempt(_find_single_run(name, index))


def _read_pieces(
    run: RunRef, attempt: AttemptChoice, *, follow: bool
) -> Iterator[tuple[Path, str]]:
    if follow:
        return _follow(run, attempt)
    return _read_whole(_select_logs(run, attempt))


@dataclass
class _OpenLog:
    """A log that is read by line."""

    sieve: Sieve
    attempt: int
    live: bool
    """Whether the log is followed; a progress bar is then passed on before its line ends."""
    rest: str = ""

    def read(self, text: str) -> Iterator[LogLine]:
        """Yield the lines that are complete."""
        *whole, self.rest = (self.rest + text).split("\n")
        for line in whole:
            yield from self._emit(f"{line}\n")
        if self.live and "\r" in self.rest:
            yield from self.end()

    def end(self) -> Iterator[LogLine]:
        """Yield the text after the last line break."""
        rest, self.rest = self.rest, ""
        yield from self._emit(rest) if rest else ()

    def _emit(self, raw: str) -> Iterator[LogLine]:
        line = self.sieve.read(raw)
        if line is not None:
            yield LogLine(self.attempt, line, raw)


def _read_lines(
    run: RunRef, attempt: AttemptChoice, log_filter: LogFilter, *, follow: bool
) -> Iterator[LogLine]:
    open_logs: dict[Path, _OpenLog] = {}
    for path, text in _read_pieces(run, attempt, follow=follow):
        if path not in open_logs:
            number = _attempt_number(path)
            open_logs[path] = _OpenLog(
                Sieve(log_filter, read_ranks(run.paths, number)),
                number,
                follow and log_filter.everything,
            )
        yield from open_logs[path].read(text)
    for log in open_logs.values():
        yield from log.end()
    raise_if_nothing_matched(log_filter, [log.sieve for log in open_logs.values()])


def _attempt_number(path: Path) -> int:
    word = path.stem.removeprefix("attempt-")
    return int(word) if word.isdecimal() else 0


def _select_logs(run: RunRef, attempt: AttemptChoice) -> list[Path]:
    written = _list_logs_from(run, 0)
    if isinstance(attempt, int):
        path = run.paths.log(f"{attempt:04d}")
        if not path.exists():
            raise ClusterError(
                f"{run.run_id} has no attempt {attempt}", f"its attempts: 1 to {len(written)}"
            )
        return [path]
    slurm = sorted(run.paths.logs.glob("slurm-*.out"))
    if not written and not slurm:
        hint = f"check its state with `clusterrun status {run.run_id}`"
        raise ClusterError(f"{run.run_id} has printed nothing yet", hint)
    return written if attempt == "all" and written else (written or slurm)[-1:]


def _read_whole(paths: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for path in paths:
        with open_regular(path) as binary:
            file = io.TextIOWrapper(binary, encoding="utf-8", errors="replace", newline="")
            while piece := file.read(_CHUNK_BYTES):
                yield path, piece


@dataclass
class _Position:
    """The position in a growing log."""

    offset: int = 0
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def read_on(self, path: Path) -> str:
        with open_regular(path) as file:
            file.seek(self.offset)
            data = file.read(_CHUNK_BYTES)
        self.offset += len(data)
        return self.decoder.decode(data)


def _follow(run: RunRef, attempt: AttemptChoice) -> Iterator[tuple[Path, str]]:
    number = 0 if attempt == "all" else attempt
    ended, checked_at = False, 0.0
    places: dict[Path, _Position] = {}
    while True:
        if not ended and time.monotonic() - checked_at > _ASK_EVERY:
            ended, checked_at = _has_ended(run), time.monotonic()
        fresh = False
        for path in _list_logs_from(run, number):
            piece = places.setdefault(path, _Position()).read_on(path)
            fresh = fresh or bool(piece)
            if piece:
                yield path, piece
        if number is None:
            number = _newest_attempt(run)
        if not fresh and ended:
            return
        if not fresh:
            ended = ended or _has_ended(run, by_itself=True)
            time.sleep(_POLL_SECONDS)


def _has_ended(run: RunRef, *, by_itself: bool = False) -> bool:
    """Return whether a run has ended; `by_itself` reads only its files."""
    try:
        return last_end(run).get("next") == "end" if by_itself else run_status(run).state.final
    except (ClusterError, PermissionError):
        return False


def _list_logs_from(run: RunRef, number: int | None) -> list[Path]:
    """List the logs from an attempt on; without a number, from the newest."""
    first = run.paths.log(f"{_newest_attempt(run) if number is None else number:04d}").name
    return sorted(path for path in run.paths.logs.glob("attempt-*.log") if path.name >= first)


def _newest_attempt(run: RunRef) -> int:
    written = sorted(
        path.stem.removeprefix("attempt-") for path in run.paths.logs.glob("attempt-*.log")
    )
    return int(written[-1]) if written else 1
