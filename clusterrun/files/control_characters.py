"""Text of other programs and people, without what a terminal would obey."""

from __future__ import annotations

import re

# C0 and C1 controls but tab and line feed, DEL, and the marks that reorder a line (Unicode TR36)
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def make_printable(text: str) -> str:
    """Return a text with its control characters replaced by `?`, so that a terminal obeys none."""
    return _OBEYED.sub("?", text)
