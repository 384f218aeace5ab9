"""Who wrote a line of an attempt's log: the rank, where the line says so.

Three forms: torch's own, `[rank1]:` before an uncaught exception and NCCL's messages; the same before every line where
the launcher is told `accelerate.tee`; and the stacks of a run that hung, below `---- rank 1 on n2, process 4711`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

_PREFIX = re.compile(r"^\[rank(\d+)\]: ?")
_NCCL = re.compile(r"^\[[EWI]\S* [^\]]*ProcessGroup\w+\.cpp:\d+\] \[(?:PG [^\]]*)?Rank (\d+)\]")
_STACKS = re.compile(r"^---- rank (\d+) on (\S+), process \d+")
_SPEAKERS = (
    re.compile(r"^clusterrun: (\S+?): "),
    re.compile(r"^srun: error: ([\w.-]+): task"),
    re.compile(r"^slurmstepd(?:-([\w.-]+))?: error: \*\*\* (?:STEP|JOB) \S+ ON ([\w.-]+) "),
)
# What no stack of Python has: the end of a block of stacks.
_IN_STACK = re.compile(r"^(?:\s|Thread 0x|Current thread 0x|Extension modules|$)")


@dataclass(frozen=True)
class Line:
    """A line, without what says who wrote it."""

    number: int
    text: str
    rank: int | None = None
    node: str = ""


def attributed(lines: Iterable[str], first: int = 1) -> Iterator[Line]:
    """Say of each line who wrote it, as far as it says so; `first` is the number of the first one."""
    reader = Attribution()
    for number, text in enumerate(lines, first):
        yield reader.read(number, text)


class Attribution:
    """Reads one line after the other, and remembers whose stacks it is in."""

    def __init__(self) -> None:
        self._stacks: tuple[int, str] | None = None

    def read(self, number: int, text: str) -> Line:
        """Say who wrote the next line."""
        start, _, text = text.rstrip("\r\n").rpartition("\r")  # a progress bar draws over itself
        heading = _STACKS.match(text)
        if heading:
            self._stacks = int(heading[1]), heading[2]
        elif self._stacks and not _IN_STACK.match(text):
            self._stacks = None
        if self._stacks:
            return Line(number, text, *self._stacks)
        line = _by_itself(number, text)
        if line.rank is None and start:
            return replace(line, rank=_by_itself(number, start).rank)
        return line


def _by_itself(number: int, text: str) -> Line:
    rank, twice = None, _PREFIX.match(text)
    while twice:  # `tee` puts its own before torch's
        rank, text = int(twice[1]), text[twice.end() :]
        twice = _PREFIX.match(text)
    if rank is None:
        nccl = _NCCL.match(text)
        rank = int(nccl[1]) if nccl else None
    return Line(number, text, rank, _speaker(text))


def _speaker(text: str) -> str:
    for form in _SPEAKERS:
        found = form.match(text)
        if found:
            return next((name for name in reversed(found.groups()) if name), "")
    return ""
