"""Slurm's lists of nodes."""

from __future__ import annotations

import re
from math import prod

_NAME = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
_BRACKETS = re.compile(r"\[([^\]]*)\]")


def count_nodes(nodes: str) -> int:
    """Count the nodes of a list such as `n[1-2,05],gpu7` (scontrol(1), show hostnames)."""
    return sum(prod(map(_count, _BRACKETS.findall(name))) for name in _NAME.findall(nodes))


def _count(ranges: str) -> int:
    counted = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        counted += int(last) - int(first) + 1 if first.isdecimal() and last.isdecimal() else 1
    return counted
