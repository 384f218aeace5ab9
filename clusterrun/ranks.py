"""Which rank runs on which node: what the job script decided, read from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clusterrun.paths import RunPaths
from clusterrun.records import read_record
from clusterrun.slurm.nodelist import node_names

_NUMBER = re.compile(r"\b(num_processes|processes_a_node|most_crashes)=(\d+)\b")


@dataclass(frozen=True)
class Ranks:
    """The nodes of an attempt in the order of their ranks, and how many ranks each has; None where not known."""

    nodes: tuple[str, ...]
    per_node: int | None

    def node_of(self, rank: int | None) -> str:
        """Return the node of a rank; empty where that is not known."""
        if len(self.nodes) == 1:
            return self.nodes[0]
        if rank is None or not self.per_node or rank >= self.per_node * len(self.nodes):
            return ""
        return self.nodes[rank // self.per_node]


def ranks_of(paths: RunPaths, attempt: int) -> Ranks:
    """Say where the ranks of an attempt run. Where each node's GPUs are counted, nothing is known beforehand."""
    nodes = tuple(node_names(read_record(paths.begin(f"{attempt:04d}")).get("nodes", "")))
    settled = settings_of_script(paths)
    per_node, total = settled.get("processes_a_node"), settled.get("num_processes")
    if per_node is None and total and nodes and total % len(nodes) == 0:
        per_node = total // len(nodes)
    return Ranks(nodes, per_node)


def settings_of_script(paths: RunPaths) -> dict[str, int]:
    """Read the numbers that `main` of the job script sets; empty where there is no script, or it may not be read."""
    for folder in (paths.folder, paths.folder.parent):  # a task of an array has the script of the array
        text = _head(RunPaths(folder).script)
        if text:
            return {found[1]: int(found[2]) for found in _NUMBER.finditer(text)}
    return {}


def _head(script: Path) -> str:
    try:
        text = script.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition("\n  prepare_shell\n")[0]


def spans(numbers: list[int]) -> str:
    """Write sorted numbers as `0-3, 7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
