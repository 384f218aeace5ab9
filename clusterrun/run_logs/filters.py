"""Filters for the lines of a run's logs: by rank, by node, or by a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.run_logs.attribution import AttributedLine, Attribution
from clusterrun.run_logs.ranks import Ranks, format_ranges

TEE = "add `accelerate: {tee: 3}` to the spec to prefix each line with its rank"


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
            hint = "use the syntax of Python's re; write \\( for a literal parenthesis"
            raise SpecError(
                [Problem("--grep", "", f"{self.grep!r} is not a regular expression: {error}", hint)]
            ) from error

    @property
    def everything(self) -> bool:
        """Whether all lines match."""
        return self == LogFilter()


@dataclass
class Sieve:
    """A filter for one log, which attributes each line and passes the matching ones."""

    wanted: LogFilter
    ranks: Ranks
    seen: set[int] = field(default_factory=set)
    """The ranks that appear in any line."""
    nodes: set[str] = field(default_factory=set)
    passed: int = 0
    _reader: Attribution = field(default_factory=Attribution)
    _number: int = 0

    def __post_init__(self) -> None:
        """Attribute every line to rank 0 if it is the only rank."""
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


def raise_if_nothing_matched(log_filter: LogFilter, sieves: list[Sieve]) -> None:
    """Raise ClusterError if no line is attributed to the requested rank or node."""
    if any(sieve.passed for sieve in sieves) or not sieves:
        return
    ranks = sorted(set[int]().union(*(sieve.seen for sieve in sieves)))
    nodes = sorted(set[str]().union(*(sieve.nodes for sieve in sieves)))
    if log_filter.rank is not None and log_filter.rank not in ranks:
        named = f"; ranks in this log: {format_ranges(ranks)}" if ranks else ""
        hint = (
            "only torch's own lines show a rank, such as tracebacks and the stacks of a hang; "
            f"{TEE}"
        )
        raise ClusterError(f"no line of this log shows rank {log_filter.rank}{named}", hint)
    if log_filter.node is not None and log_filter.node not in nodes:
        named = f"; nodes in this log: {', '.join(nodes)}" if nodes else ""
        hint = (
            "the node of a line is known from its rank, or if srun or the job script names it; "
            f"{TEE}"
        )
        raise ClusterError(f"no line of this log is from node {log_filter.node}{named}", hint)
