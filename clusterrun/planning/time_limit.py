"""Notes on time limits that are easily misread: sbatch reads `12:00` as twelve minutes."""

from __future__ import annotations

from collections.abc import Iterator

from clusterrun import units
from clusterrun.job_spec import Loaded

USUAL_HOURS = frozenset({8, 12, 16, 24, 36, 48, 72, 96, 120, 168})
"""Numbers that are usual as hours, but not as minutes."""


def note_time_limit(loaded: Loaded) -> Iterator[str]:
    """Yield a note on `slurm.time` if its number of minutes could be meant as hours."""
    text = loaded.spec.slurm.time or ""
    number, colon, rest = text.partition(":")
    is_minutes = number.isdecimal() and ":" not in rest
    if not is_minutes or not (colon or int(number) in USUAL_HOURS):
        return
    seconds = units.seconds_of_slurm_time(text) or 0
    where = loaded.line_of("slurm", "time")
    hours = f"{int(number)}:{rest or '00'}:00"
    yield (
        f"{where}: slurm.time: the time limit is {units.format_duration(seconds)}; "
        f"for hours, write {hours}"
    )
