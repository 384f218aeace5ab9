"""Messages with a library's words in them, which change with its version."""

from __future__ import annotations

import re


def masked(message: str, expected: str) -> str:
    """Return `expected` when the message is the same but for one line's words at each <LIBRARY>.

    Otherwise return the message, so that the assertion shows both.
    """
    pattern = r"[^\n]+".join(re.escape(part) for part in expected.split("<LIBRARY>"))
    return expected if re.fullmatch(pattern, message) else message
