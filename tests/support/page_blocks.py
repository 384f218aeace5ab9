"""The fenced blocks of the documentation, with the note on the line before each.

For example `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>[a-z ]+): (?P<words>[^\n]*) -->\n+)?"
    r"^(?P<fence>````?)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    marker: str = ""
    """`not run` or `recorded`."""
    words: str = ""
    """The reason why it is not run, or the name of the recording."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def typed(self) -> list[tuple[str, str]]:
        """Each command line of a terminal, with its `> ` lines, and its output."""
        found: list[tuple[str, str]] = []
        for line in self.text.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif line.startswith("> ") and found and not found[-1][1]:
                found[-1] = (found[-1][0] + line[2:], "")
            elif found:
                found[-1] = (found[-1][0], found[-1][1] + line)
        return found


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, match.start("fence")) + 1,
            match["language"],
            match["text"],
            match["marker"] or "",
            match["words"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def all_blocks(*languages: str) -> Iterator[Block]:
    """The blocks of all pages in one of these languages."""
    for page in PAGES:
        yield from (block for block in blocks(page) if block.language in languages)
