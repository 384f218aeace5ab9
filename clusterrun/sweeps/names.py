"""The name of a sweep, and the names of its members, from `name: gpt2-{args.seed}`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from clusterrun.sweeps.settings import Row

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# A placeholder with the letters around it, up to the next separator: `-s{args.seed}`.
_PART = re.compile(r"[-._]?[^-._{}]*\{[^{}]*\}[^-._{}]*")
_OTHER = re.compile(r"[^A-Za-z0-9._-]+")


def sweep_name(template: str) -> str:
    """Return the name of the sweep: the part of the template that all members share."""
    return _PART.sub("", template).strip("-._")


def unknown_placeholders(template: str, rows: Sequence[Row]) -> list[str]:
    """List the placeholders that not every member sets."""
    names = dict.fromkeys(_PLACEHOLDER.findall(template))
    return [name for name in names if any(name not in _texts(row) for row in rows)]


def member_names(template: str, base: str, rows: Sequence[Row]) -> list[str]:
    """Return a name per member; if two were equal, each gets its number.

    Every placeholder must be one that all members set.
    """
    if not _PLACEHOLDER.search(template):
        return [f"{base}-{number}" for number in range(len(rows))]
    names = [_fill(template, _texts(row)) for row in rows]
    if max(Counter(names).values(), default=0) > 1:
        names = [f"{name}-{number}" for number, name in enumerate(names)]
    return names


def _fill(template: str, values: dict[str, str]) -> str:
    text = _PLACEHOLDER.sub(lambda match: _OTHER.sub("-", values[match[1]]).strip("-"), template)
    return text.strip("-._")


def _texts(row: Row) -> dict[str, str]:
    return {one.path: one.text for one in row}
