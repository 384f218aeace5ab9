"""Durations of a spec in whole seconds, because bash has no others: waits, and the hang time."""

from __future__ import annotations

from typing import Any

from clusterrun import units

HANG_AUTO, HANG_OFF = "auto", "off"
HANG_FORMS = f"auto, {units.DURATION_FORMS.replace(' or ', ', ')} or false"


def whole_seconds(text: str, forms: str = units.DURATION_FORMS) -> int:
    """Return the whole seconds of a duration, at least 1 unless it is zero.

    Raises ValueError for anything else.
    """
    seconds = units.seconds_of_duration(text, forms=forms)
    return max(1, round(seconds)) if seconds else 0


def check_wait(text: str) -> str:
    """Check a duration and return it as written; raises ValueError for anything else, and zero."""
    if whole_seconds(text) == 0:
        raise ValueError(f"must be longer than zero\nwrite {units.DURATION_FORMS}")
    return text


def name_hang(value: Any) -> Any:
    """Return `off` for false and `no`, `auto` for true, and any other value unchanged."""
    if isinstance(value, bool):
        return HANG_AUTO if value else HANG_OFF
    return HANG_OFF if value in ("no", "false") else value


def check_hang(text: str) -> str:
    """Check the value of `hang` and return it as written.

    Raises ValueError for anything else, and for zero.
    """
    if text not in (HANG_AUTO, HANG_OFF) and hang_seconds(text) == 0:
        raise ValueError("must be longer than zero\nwrite false to turn hang detection off")
    return text


def hang_seconds(text: str) -> int:
    """Return the seconds without a step that count as a hang; raises ValueError if invalid."""
    if text.lower() in units.SLURM_UNLIMITED:
        raise ValueError(f"{text!r} is not a duration\nwrite false to turn hang detection off")
    return whole_seconds(text, HANG_FORMS)
