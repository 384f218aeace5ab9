"""Lists of nodes as Slurm writes them: `n[1-3,7],login1`. Source: scontrol(1), hostlist."""

from __future__ import annotations

import re
from math import prod

_PART = re.compile(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)*")
_NAME = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
_RANGE = re.compile(r"\[([^\]]*)\]")


def node_names(text: str) -> list[str]:
    """List the nodes of a list, in its order."""
    return [name for part in _PART.findall(text) for name in _expand_part(part)]


def _expand_part(part: str) -> list[str]:
    match = _RANGE.search(part)
    if match is None:
        return [part]
    before, after = part[: match.start()], part[match.end() :]
    return [
        before + number + rest
        for number in _expand_ranges(match[1])
        for rest in _expand_part(after)
    ]


def _expand_ranges(text: str) -> list[str]:
    names: list[str] = []
    for span in text.split(","):
        first, _, last = span.partition("-")
        if last.isdecimal() and first.isdecimal():
            names += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        else:
            names.append(span)
    return names


def count_nodes(nodes: str) -> int:
    """Count the nodes of a list such as `n[1-2,05],gpu7` without expanding them."""
    return sum(prod(map(_count_range, _RANGE.findall(name))) for name in _NAME.findall(nodes))


def _count_range(ranges: str) -> int:
    counted = 0
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        counted += int(last) - int(first) + 1 if first.isdecimal() and last.isdecimal() else 1
    return counted
