"""Where the ranks of a run that hung stood: the stacks at the end of its log, one place a rank."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from clusterrun.run_logs.attribution import Line

_FRAME = re.compile(r'^\s+File "(.+)", line (\d+|\?\?\?) in (.+)$')
_MAIN = re.compile(r"^Current thread |^Thread 0x\w+(?: \[[^\]]*\])? \(most recent call first\):")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib/python3[^/]*/|^<frozen|/clusterrun/training/")


@dataclass(frozen=True)
class Place:
    """Where one rank stood."""

    rank: int
    """Whose."""
    node: str
    """Where it ran."""
    inner: str
    """The innermost call, `function (file:line)`."""
    script: str
    """The innermost call that is the script's own; empty where there is none."""


def places(lines: Iterable[Line]) -> list[Place]:
    """Read the stacks of a log; of each rank those of its first process, the others are its helpers."""
    blocks: dict[int, list[Line]] = {}
    now: int | None = None
    for line in lines:
        if line.text.startswith("---- rank ") and line.rank is not None:
            now = None if line.rank in blocks else line.rank
            blocks.setdefault(line.rank, [])
        if now is not None and line.rank == now:
            blocks[now].append(line)
    return [place for rank in sorted(blocks) if (place := _place(rank, blocks[rank]))]


def _place(rank: int, block: list[Line]) -> Place | None:
    """Of the threads of a process the main one stands last."""
    frames: list[re.Match[str]] = []
    for line in block:
        if _MAIN.match(line.text):
            frames = []
        elif found := _FRAME.match(line.text):
            frames.append(found)
    if not frames:
        return None
    own = next((frame for frame in frames if not _LIBRARY.search(frame[1])), None)
    return Place(rank, block[0].node, _call(frames[0]), _call(own) if own else "")


def _call(frame: re.Match[str]) -> str:
    return f"{frame[3]} ({frame[1]}:{frame[2]})"
