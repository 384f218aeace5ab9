"""Which lines of a run's logs are wanted: those of a rank, of a node, or that match a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from clusterrun.errors import ClusterError, Problem, SpecError
from clusterrun.run_logs.attribution import Attribution, Line
from clusterrun.run_logs.ranks import Ranks, spans

TEE = "`accelerate: {tee: 3}` in the spec has each line say its rank"


@dataclass(frozen=True)
class Wanted:
    """What of a log is asked for; None: all of it."""

    rank: int | None = None
    node: str | None = None
    grep: str | None = None

    def __post_init__(self) -> None:
        """Raise SpecError where the pattern is no regular expression of Python's."""
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
        """Whether nothing is left out."""
        return self == Wanted()


@dataclass
class Sieve:
    """Reads the lines of one log, says who wrote each, and lets through those that are wanted."""

    wanted: Wanted
    ranks: Ranks
    seen: set[int] = field(default_factory=set)
    """The ranks that any line named."""
    nodes: set[str] = field(default_factory=set)
    passed: int = 0
    _reader: Attribution = field(default_factory=Attribution)
    _number: int = 0

    def __post_init__(self) -> None:
        """Where there is one rank, it wrote every line."""
        self._only = 0 if self.ranks.per_node == 1 and len(self.ranks.nodes) == 1 else None

    def read(self, text: str) -> Line | None:
        """Return the line with its rank and node where it is wanted."""
        self._number += 1
        line = self._reader.read(self._number, text)
        rank = self._only if line.rank is None else line.rank
        line = replace(line, rank=rank, node=line.node or self.ranks.node_of(rank))
        self.seen |= set() if rank is None else {rank}
        self.nodes |= {line.node} if line.node else set()
        if not self._fits(line, text):
            return None
        self.passed += 1
        return line

    def _fits(self, line: Line, text: str) -> bool:
        if self.wanted.rank not in (None, line.rank) or self.wanted.node not in (None, line.node):
            return False
        return self.wanted.grep is None or re.search(self.wanted.grep, text) is not None


def complain(wanted: Wanted, sieves: list[Sieve]) -> None:
    """Raise ClusterError where a rank or a node was asked for and no line says that it is its own."""
    if any(sieve.passed for sieve in sieves) or not sieves:
        return
    ranks = sorted(set[int]().union(*(sieve.seen for sieve in sieves)))
    nodes = sorted(set[str]().union(*(sieve.nodes for sieve in sieves)))
    if wanted.rank is not None and wanted.rank not in ranks:
        said = f"; those that are named: {spans(ranks)}" if ranks else ""
        hint = f"without it only torch's own lines do, such as an error's traceback, and the stacks of a hang; {TEE}"
        raise ClusterError(f"no line of this log says that rank {wanted.rank} wrote it{said}", hint)
    if wanted.node is not None and wanted.node not in nodes:
        said = f"; those that are named: {', '.join(nodes)}" if nodes else ""
        hint = f"a node is known by the rank of a line, or where srun or the job script names it; {TEE}"
        raise ClusterError(f"no line of this log says that node {wanted.node} wrote it{said}", hint)
