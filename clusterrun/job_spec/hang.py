"""The grammar of `hang`: how long a run may be silent before it counts as one that hangs."""

from __future__ import annotations

from typing import Any

from clusterrun import units
from clusterrun.job_spec import waits

AUTO, OFF = "auto", "off"
FORMS = f"auto, {units.DURATION_FORMS.replace(' or ', ', ')} or false"


def word(value: Any) -> Any:
    """Return `off` for false, no and `false`, `auto` for true, and any other value unchanged."""
    if isinstance(value, bool):
        return AUTO if value else OFF
    return OFF if value in ("no", "false") else value


def hang(text: str) -> str:
    """Check the value of `hang` and return it as written.

    Raises ValueError for anything else, and for zero.
    """
    if text not in (AUTO, OFF) and seconds(text) == 0:
        raise ValueError(f"a patience of zero\nwrite {FORMS}")
    return text


def seconds(text: str) -> int:
    """Return the seconds of a duration; raises ValueError for all else."""
    if text.lower() in units.SLURM_UNLIMITED:
        raise ValueError(f"{text!r} is not a duration\nwrite false")
    return waits.seconds(text, FORMS)
