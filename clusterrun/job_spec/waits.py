"""The grammar of how long to wait for something, in whole seconds as bash counts them."""

from __future__ import annotations

from clusterrun import units


def seconds(text: str, forms: str = units.DURATION_FORMS) -> int:
    """Return the whole seconds of a duration, at least 1 unless it is zero.

    Raises ValueError for anything else.
    """
    found = units.seconds_of_duration(text, forms=forms)
    return max(1, round(found)) if found else 0


def wait(text: str) -> str:
    """Check a duration and return it as written; raises ValueError for all else, and for zero."""
    if seconds(text) == 0:
        raise ValueError(f"a wait of zero\nwrite {units.DURATION_FORMS}")
    return text
