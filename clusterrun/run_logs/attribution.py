"""The rank that wrote a line of an attempt's log, if the line shows it.

Three forms: torch's own, `[rank1]:` before an uncaught exception and NCCL's messages; the same
before every line with `accelerate.tee`; and the stacks of a run that hung,
below `---- rank 1 on n2, process 4711`.
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
# A line that no Python stack contains, which ends a block of stacks.
_IN_STACK = re.compile(r"^(?:\s|Thread 0x|Current thread 0x|Extension modules|$)")


@dataclass(frozen=True)
class AttributedLine:
    """A line of a log, with the rank and the node that wrote it."""

    line_number: int
    text: str
    rank: int | None = None
    node: str = ""


def attribute_lines(lines: Iterable[str], first: int = 1) -> Iterator[AttributedLine]:
    """Yield each line with its rank and node, if shown; `first` is the first line's number."""
    reader = Attribution()
    for number, text in enumerate(lines, first):
        yield reader.read(number, text)


class Attribution:
    """A reader of consecutive lines that keeps track of the rank whose stacks they show."""

    def __init__(self) -> None:
        self._stacks: tuple[int, str] | None = None

    def read(self, number: int, text: str) -> AttributedLine:
        """Return the next line with its rank and node."""
        start, _, text = text.rstrip("\r\n").rpartition("\r")  # a progress bar overwrites its line
        heading = _STACKS.match(text)
        if heading:
            self._stacks = int(heading[1]), heading[2]
        elif self._stacks and not _IN_STACK.match(text):
            self._stacks = None
        if self._stacks:
            return AttributedLine(number, text, *self._stacks)
        line = _parse_line(number, text)
        if line.rank is None and start:
            return replace(line, rank=_parse_line(number, start).rank)
        return line


def _parse_line(number: int, text: str) -> AttributedLine:
    rank, twice = None, _PREFIX.match(text)
    while twice:  # `tee` adds its prefix before torch's
        rank, text = int(twice[1]), text[twice.end() :]
        twice = _PREFIX.match(text)
    if rank is None:
        nccl = _NCCL.match(text)
        rank = int(nccl[1]) if nccl else None
    return AttributedLine(number, text, rank, _find_node(text))


def _find_node(text: str) -> str:
    for form in _SPEAKERS:
        match = form.match(text)
        if match:
            return next((name for name in reversed(match.groups()) if name), "")
    return ""
