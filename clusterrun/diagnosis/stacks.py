"""Where the ranks of a hung run were, from the stacks at the end of its log."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from clusterrun.run_logs.attribution import AttributedLine

_FRAME = re.compile(r'^\s+File "(.+)", line (\d+|\?\?\?) in (.+)$')
_MAIN = re.compile(r"^Current thread |^Thread 0x\w+(?: \[[^\]]*\])? \(most recent call first\):")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/|/lib/python3[^/]*/|^<frozen|/clusterrun/training/")


@dataclass(frozen=True)
class HangLocation:
    """Where one rank was."""

    rank: int
    """The rank."""
    node: str
    """The node of the rank."""
    innermost_call: str
    """The innermost call, `function (file:line)`."""
    script_call: str
    """The innermost call in the script itself; empty if no frame is in the script."""


def read_hang_locations(lines: Iterable[AttributedLine]) -> list[HangLocation]:
    """Read the stacks in a log: for each rank those of its first process, not of its helpers."""
    blocks: dict[int, list[AttributedLine]] = {}
    now: int | None = None
    for line in lines:
        if line.text.startswith("---- rank ") and line.rank is not None:
            now = None if line.rank in blocks else line.rank
            blocks.setdefault(line.rank, [])
        if now is not None and line.rank == now:
            blocks[now].append(line)
    return [place for rank in sorted(blocks) if (place := _locate_rank(rank, blocks[rank]))]


def _locate_rank(rank: int, block: list[AttributedLine]) -> HangLocation | None:
    """Locate a rank by the stack of its main thread, which is the last one."""
    frames: list[re.Match[str]] = []
    for line in block:
        if _MAIN.match(line.text):
            frames = []
        elif match := _FRAME.match(line.text):
            frames.append(match)
    if not frames:
        return None
    own = next((frame for frame in frames if not _LIBRARY.search(frame[1])), None)
    return HangLocation(
        rank, block[0].node, _format_call(frames[0]), _format_call(own) if own else ""
    )


def _format_call(frame: re.Match[str]) -> str:
    return f"{frame[3]} ({frame[1]}:{frame[2]})"
