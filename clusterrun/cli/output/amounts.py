"""Options that are amounts: durations, sizes, counts."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from clusterrun import units


def option(read: Callable[[str], float]) -> Callable[[str], float]:
    """Make a reader of an option's text of one that raises ValueError with the fault, and a hint on the next line."""

    def reader(text: str) -> float:
        try:
            return read(text.strip())
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).replace("\n", "\n  hint: ")) from error

    return reader


duration = option(units.seconds_of_duration)
timeout = option(lambda text: units.seconds_of_duration(text, bare="s"))
"""A number without a unit is seconds, as for timeout(1)."""
whole_number = option(units.whole_number)
