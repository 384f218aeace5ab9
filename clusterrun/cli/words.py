"""Amounts of time as people say them, and small drawings made of characters."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def span(seconds: float) -> str:
    """Write a length of time by its two largest units: `1 h 20 min`, `45 s`; seconds only below ten minutes."""
    left = max(round(seconds), 0)
    if left < 60:
        return f"{left} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), *([("s", 1)] if left < 600 else []))
    place = next(number for number, (_, length) in enumerate(units) if left >= length)
    parts = []
    for unit, length in units[place : place + 2]:
        count, left = divmod(left, length)
        parts.append(f"{count} {unit}")
    return " ".join(part for part in parts if not part.startswith("0 "))


def clock(seconds: int | None) -> str:
    """Write a length of time as hours, minutes and seconds; nothing where it is not known."""
    if seconds is None:
        return ""
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}"


def bar(done: float, total: float, width: int = 24) -> str:
    """Draw how much of a whole is done."""
    full = round(width * min(max(done / total, 0.0), 1.0)) if total else 0
    return "█" * full + "░" * (width - full)


def sparkline(values: Sequence[float], width: int = 32) -> str:
    """Draw how a number went, each character the mean of an equal share of the values."""
    if not values:
        return ""
    count = min(width, len(values))
    parts = [values[len(values) * place // count : len(values) * (place + 1) // count] for place in range(count)]
    means = [sum(part) / len(part) for part in parts]
    least, most = min(means), max(means)
    scale = (len(_BARS) - 1) / (most - least) if most > least else 0.0
    return "".join(_BARS[round((mean - least) * scale)] for mean in means)
