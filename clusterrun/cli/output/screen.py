"""Text on stdout: colored tables on a terminal, plain lines in a pipe.

rich is imported only for a terminal, because its import takes longer than most commands.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

WIDE = 100
"""The minimum terminal width, in columns, for a drawn table."""
# Okabe and Ito's colors can be distinguished with every kind of color vision
# (jfly.uni-koeln.de/color). A color only emphasizes a word; it is never the only sign.
STYLES = {
    "RUNNING": "#56B4E9",
    "PENDING": "#E69F00",
    "COMPLETED": "#009E73",
    "STOPPED": "#CC79A7",
    "CANCELLED": "#CC79A7",
    "UNKNOWN": "#E69F00",
    "good": "#009E73",
    "warning": "#E69F00",
    "bad": "#D55E00",
}
_BARS = "▁▂▃▄▅▆▇█"
RANKS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00")


def is_terminal() -> bool:
    """Return whether stdout is a terminal with cursor control."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def uses_colours() -> bool:
    """Return whether to print colors. Source: no-color.org."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def style_of(word: str) -> str:
    """Return the color of a state or verdict; unlisted ones get the color of a failure."""
    return STYLES.get(word, STYLES["bad"])


def coloured(text: str, style: str) -> str:
    """Return a text in a color, `#RRGGBB`; unchanged if colors are off."""
    if not uses_colours():
        return text
    red, green, blue = (int(style[place : place + 2], 16) for place in (1, 3, 5))
    return f"\033[38;2;{red};{green};{blue}m{text}\033[0m"


def format_columns(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as lines, each column as wide as its longest text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def print_table(rows: Sequence[Sequence[str]], styles: Mapping[str, str] | None = None) -> None:
    """Print rows; the first one is the heading.

    A wide terminal gets a drawn table, everything else plain columns.

    `styles` maps the complete text of a cell to its color.
    """
    if not is_terminal() or shutil.get_terminal_size().columns < WIDE:
        print(format_columns(rows))
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(*rows[0], box=None, header_style="bold", pad_edge=False)
    for row in rows[1:]:
        drawn.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
    Console(no_color=not uses_colours(), highlight=False).print(drawn)


@contextmanager
def live_display() -> Iterator[Callable[[str], None]]:
    """Yield a function that replaces the text on a terminal; the last text remains."""
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(no_color=not uses_colours(), highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        yield lambda text: live.update(
            Text.from_ansi(text, no_wrap=True, overflow="ellipsis"), refresh=True
        )


def draw_bar(done: float, total: float, width: int = 24) -> str:
    """Draw a progress bar."""
    full = round(width * min(max(done / total, 0.0), 1.0)) if total else 0
    return "█" * full + "░" * (width - full)


def draw_sparkline(values: Sequence[float], width: int = 32) -> str:
    """Draw values as a sparkline; each character is the mean of an equal share of them."""
    if not values:
        return ""
    count = min(width, len(values))
    parts = [
        values[len(values) * place // count : len(values) * (place + 1) // count]
        for place in range(count)
    ]
    means = [sum(part) / len(part) for part in parts]
    least, most = min(means), max(means)
    scale = (len(_BARS) - 1) / (most - least) if most > least else 0.0
    return "".join(_BARS[round((mean - least) * scale)] for mean in means)
