"""Messages that contain a library's text, which changes with its version."""

from __future__ import annotations

import re


def masked(message: str, expected: str) -> str:
    """Return `expected` if the message differs only in one line's text at each <LIBRARY>.

    Otherwise return the message, so that the assertion shows both.
    """
    pattern = r"[^\n]+".join(re.escape(part) for part in expected.split("<LIBRARY>"))
    return expected if re.fullmatch(pattern, message) else message
