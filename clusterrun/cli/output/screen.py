"""What stdout is: a terminal with a width and colours, or a pipe that gets plain lines.

rich is imported only for a terminal, because its import takes longer than most commands.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from clusterrun.cli.output.table import in_columns

WIDE = 100
"""Columns from which on a terminal gets a drawn table."""
# Okabe and Ito's colours, which people of every kind of colour vision tell apart (jfly.uni-koeln.de/color). A colour
# only stresses a word that is there; it is never the only sign.
STYLES = {
    "RUNNING": "#56B4E9",
    "PENDING": "#E69F00",
    "COMPLETED": "#009E73",
    "STOPPED": "#CC79A7",
    "CANCELLED": "#CC79A7",
    "NO_ANSWER": "#E69F00",
    "good": "#009E73",
    "warning": "#E69F00",
    "bad": "#D55E00",
}
RANKS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00")


def is_terminal() -> bool:
    """Say whether a person looks at stdout."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def has_colours() -> bool:
    """Say whether colours are wanted. Source: no-color.org."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def style_of(word: str) -> str:
    """Return the colour of a state or a verdict; one that is not named is a bad end."""
    return STYLES.get(word, STYLES["bad"])


def coloured(text: str, style: str) -> str:
    """Return a text in a colour of this module, `#RRGGBB`; as it is where colours are not wanted."""
    if not has_colours():
        return text
    red, green, blue = (int(style[place : place + 2], 16) for place in (1, 3, 5))
    return f"\033[38;2;{red};{green};{blue}m{text}\033[0m"


def print_table(rows: Sequence[Sequence[str]], styles: Mapping[str, str] | None = None) -> None:
    """Print rows, the first of which is the heading: a drawn table in a wide terminal, plain columns elsewhere.

    `styles` maps the whole text of a cell to its colour.
    """
    if not is_terminal() or shutil.get_terminal_size().columns < WIDE:
        print(in_columns(rows))
        return
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(*rows[0], box=None, header_style="bold", pad_edge=False)
    for row in rows[1:]:
        drawn.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
    Console(no_color=not has_colours(), highlight=False).print(drawn)


@contextmanager
def kept_up_to_date() -> Iterator[Callable[[str], None]]:
    """Give a function that shows a text in the place of the one before; the last one stays. For a terminal."""
    from rich.console import Console  # noqa: PLC0415 - only for a terminal
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(no_color=not has_colours(), highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        yield lambda text: live.update(
            Text.from_ansi(text, no_wrap=True, overflow="ellipsis"), refresh=True
        )
