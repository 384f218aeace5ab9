"""Arguments of a command as the mapping `args` of a spec."""

from __future__ import annotations

import re
from typing import Any

from clusterrun.job_spec.yaml_text import typed
from clusterrun.planning.launch import argument_words

_FLAG = re.compile(r"--[A-Za-z0-9_][A-Za-z0-9_.:/+-]*")
_NEGATIVE = re.compile(r"-[0-9.][0-9.e+-]*")


def as_mapping(words: list[str]) -> dict[str, Any] | None:
    """Return arguments as a mapping, if it results in the same words; else None."""
    found: dict[str, Any] = {}
    flag = ""
    for word in words:
        if _FLAG.fullmatch(word):
            flag = word[2:]
            if flag in found:
                return None
            found[flag] = []
        elif not flag or (word.startswith("-") and not _NEGATIVE.fullmatch(word)):
            return None
        else:
            found[flag].append(word)
    mapping = {
        name: values[0] if len(values) == 1 else values or True for name, values in found.items()
    }
    round_trip = [
        str(word)
        for name, value in mapping.items()
        for word in argument_words(name, tuple(value) if isinstance(value, list) else value)
    ]
    if round_trip != words:
        return None
    return {
        name: [*map(typed, value)] if isinstance(value, list) else typed(value)
        for name, value in mapping.items()
    }
