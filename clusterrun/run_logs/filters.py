"""Filters for the lines of a run's logs: by rank, by node, or by a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.run_logs.attribution import AttributedLine, Attribution
from clusterrun.run_logs.ranks import Ranks, format_ranges

TEE = "`accelerate: {tee: 3}` in the spec has each line say its rank"


@dataclass(frozen=True)
class LogFilter:
    """The lines of a log to show; None matches all."""

    rank: int | None = None
    node: str | None = None
    grep: str | None = None

    def __post_init__(self) -> None:
        """Raise SpecError if the pattern is not a regular expression of Python."""
        try:
            re.compile(self.grep or "")
        except re.error as error:
            hint = (
                "a regular expression as Python's re has them; \\( stands for a parenthesis itself"
            )
            raise SpecError(
                [Problem("--grep", "", f"{self.grep!r} is no pattern: {error}", hint)]
            ) from error

    @property
    def everything(self) -> bool:
        """Whether all lines match."""
        return self == LogFilter()


@dataclass
class Sieve:
    """Reads the lines of one log, attributes each, and passes those that match."""

    wanted: LogFilter
    ranks: Ranks
    seen: set[int] = field(default_factory=set)
    """The ranks that any line named."""
    nodes: set[str] = field(default_factory=set)
    passed: int = 0
    _reader: Attribution = field(default_factory=Attribution)
    _number: int = 0

    def __post_init__(self) -> None:
        """Attribute every line to rank 0 if there is no other."""
        self._only = 0 if self.ranks.per_node == 1 and len(self.ranks.nodes) == 1 else None

    def read(self, text: str) -> AttributedLine | None:
        """Return the line with its rank and node; None if it does not match."""
        self._number += 1
        line = self._reader.read(self._number, text)
        rank = self._only if line.rank is None else line.rank
        line = replace(line, rank=rank, node=line.node or self.ranks.node_of(rank))
        self.seen |= set() if rank is None else {rank}
        self.nodes |= {line.node} if line.node else set()
        if not self._matches(line, text):
            return None
        self.passed += 1
        return line

    def _matches(self, line: AttributedLine, text: str) -> bool:
        if self.wanted.rank not in (None, line.rank) or self.wanted.node not in (None, line.node):
            return False
        return self.wanted.grep is None or re.search(self.wanted.grep, text) is not None


def raise_if_nothing_matched(wanted: LogFilter, sieves: list[Sieve]) -> None:
    """Raise ClusterError if a rank or a node was requested that no line names."""
    if any(sieve.passed for sieve in sieves) or not sieves:
        return
    ranks = sorted(set[int]().union(*(sieve.seen for sieve in sieves)))
    nodes = sorted(set[str]().union(*(sieve.nodes for sieve in sieves)))
    if wanted.rank is not None and wanted.rank not in ranks:
        named = f"; those that are named: {format_ranges(ranks)}" if ranks else ""
        hint = (
            "without it only torch's own lines do, such as an error's traceback, and the stacks "
            f"of a hang; {TEE}"
        )
        raise ClusterError(
            f"no line of this log says that rank {wanted.rank} wrote it{named}", hint
        )
    if wanted.node is not None and wanted.node not in nodes:
        named = f"; those that are named: {', '.join(nodes)}" if nodes else ""
        hint = (
            "a node is known by the rank of a line, or where srun or the job script names it; "
            f"{TEE}"
        )
        raise ClusterError(
            f"no line of this log says that node {wanted.node} wrote it{named}", hint
        )
