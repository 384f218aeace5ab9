"""Small drawings made of characters."""

from __future__ import annotations

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def bar(done: float, total: float, width: int = 24) -> str:
    """Draw how much of a whole is done."""
    full = round(width * min(max(done / total, 0.0), 1.0)) if total else 0
    return "█" * full + "░" * (width - full)


def sparkline(values: Sequence[float], width: int = 32) -> str:
    """Draw how a number went, each character the mean of an equal share of the values."""
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
