"""The partitions of a cluster and their nodes, as sinfo lists them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from clusterrun import units
from clusterrun.errors import ClusterError
from clusterrun.slurm.commands import call

_SECONDS = 5.0
# sinfo(1); %s is the range of nodes that one job may have, such as 1-infinite.
_FORMAT = "%R|%P|%a|%l|%s|%D|%c|%m|%G"
_GPUS = re.compile(r"(?:^|,)gpu:(?:[^,(]*:)?(?P<count>\d{1,7})")


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of a partition that are equal."""

    count: int
    cpus: int
    memory_mb: int
    """0 if the site does not configure it."""
    gpus: int


@dataclass(frozen=True)
class PartitionLimits:
    """A partition with its limits and nodes."""

    name: str
    is_default: bool
    is_up: bool
    time_limit_s: int | None
    most_nodes_of_a_job: int | None
    groups: tuple[NodeGroup, ...]

    @property
    def nodes(self) -> int:
        """Return how many nodes it has."""
        return sum(group.count for group in self.groups)


def list_partitions(environment: Mapping[str, str]) -> list[PartitionLimits]:
    """Return all partitions, hidden ones too; none if sinfo fails or does not respond."""
    argv = ["sinfo", "--noheader", "--all", "--exact", f"--format={_FORMAT}"]
    try:
        answer = call(argv, seconds=_SECONDS, environment=environment)
        return [] if answer.code else _parse(answer.out)
    except (ClusterError, ValueError):
        return []


def _parse(text: str) -> list[PartitionLimits]:
    """Parse sinfo's lines, one for each group of equal nodes. Raises ValueError."""
    rows: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        values = [value.strip() for value in line.split("|")]
        if len(values) == _FORMAT.count("|") + 1:
            rows.setdefault(values[0], []).append(values)
    return [_parse_partition(name, lines) for name, lines in rows.items()]


def _parse_partition(name: str, lines: list[list[str]]) -> PartitionLimits:
    _, shown, state, limit, sizes, *_ = lines[0]
    most = sizes.rpartition("-")[2]
    groups = tuple(
        NodeGroup(
            int(count),
            _number(cpus),
            memory if (memory := _number(text)) > 1 else 0,  # 1 is Slurm's default
            sum(int(match["count"]) for match in _GPUS.finditer(gres)),
        )
        for *_, count, cpus, text, gres in lines
    )
    seconds = None if limit == "n/a" else units.seconds_of_slurm_time(limit)
    return PartitionLimits(
        name,
        shown.endswith("*"),
        state == "up",
        seconds,
        int(most) if most.isdecimal() else None,
        tuple(group for group in groups if group.count),
    )


def _number(text: str) -> int:
    """Return a column's number; `96+` means that nodes of the group have more."""
    return int(text.rstrip("+"))
