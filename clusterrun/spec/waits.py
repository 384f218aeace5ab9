"""The grammar of how long to wait for something: as people write a time, or as sbatch does."""

from __future__ import annotations

from clusterrun.spec import checkpoint, grammar

FORMS = "a time such as 30min, 2h or 1:30:00"
_UNITS = {"s": 1, "min": 60, "h": 3600}


def seconds(text: str) -> int:
    """Return the seconds, at least 1, of a time as in `checkpoint.every`, or of sbatch's with a colon or a dash.

    Of sbatch's it may be 0. Raises ValueError for all else.
    """
    try:
        if ":" in text or "-" in text:
            return grammar.seconds_of_time(text) or 0
        interval = checkpoint.every(text)
        unit = interval.lstrip("0123456789.")
        return max(1, round(float(interval.removesuffix(unit)) * _UNITS[unit]))
    except (ValueError, KeyError) as error:
        raise ValueError(f"{text[:80]!r} is not {FORMS}") from error


def wait(text: str) -> str:
    """Check a time and return it as written; raises ValueError for all else, and for no time at all."""
    if seconds(text) == 0:
        raise ValueError(f"no time at all; write {FORMS}")
    return text
