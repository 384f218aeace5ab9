"""The node of each rank, from the run's settings."""

from __future__ import annotations

from dataclasses import dataclass

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import read_record
from clusterrun.run_folder.settings import read_settings
from clusterrun.slurm.node_lists import node_names


@dataclass(frozen=True)
class Ranks:
    """The nodes of an attempt in rank order, and the number of ranks per node."""

    nodes: tuple[str, ...]
    per_node: int | None

    def node_of(self, rank: int | None) -> str:
        """Return the node of a rank; empty if unknown."""
        if len(self.nodes) == 1:
            return self.nodes[0]
        if rank is None or not self.per_node or rank >= self.per_node * len(self.nodes):
            return ""
        return self.nodes[rank // self.per_node]


def read_ranks(paths: RunPaths, attempt: int) -> Ranks:
    """Read the nodes of an attempt's ranks; unknown if processes are counted on each node."""
    nodes = tuple(node_names(read_record(paths.begin(f"{attempt:04d}")).get("nodes", "")))
    settled = read_settings(paths)
    per_node, total = settled.get("processes_per_node"), settled.get("num_processes")
    if per_node is None and total and nodes and total % len(nodes) == 0:
        per_node = total // len(nodes)
    return Ranks(nodes, per_node)


def format_ranges(numbers: list[int]) -> str:
    """Format sorted numbers as `0-3, 7`."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
