"""Arguments of a script that hand over a secret under a name of its own: `--hub_token VALUE`."""

from __future__ import annotations

from collections.abc import Sequence

from clusterrun.quoting import Shell
from clusterrun.starter.from_sbatch.secrets import is_secret_name
from clusterrun.starter.from_sbatch.words import Word


def without_secret_flags(words: Sequence[Word]) -> tuple[list[Word], list[tuple[int, str, str]]]:
    """Return the arguments without secrets, and line, flag and variable of each secret."""
    found: list[Word] = []
    left: list[tuple[int, str, str]] = []
    for word in words:
        flag, equals, _ = word.text.partition("=")
        before = found[-1].text if found and not equals else ""
        name = _variable(word, flag if equals else "")
        given = flag if equals else before
        if name and given.startswith("-") and is_secret_name(given):
            left.append((word.line, given, name))
            if not equals:
                found.pop()
        else:
            found.append(word)
    return found, left


def _variable(word: Word, flag: str) -> str:
    """Return the variable that is a whole word, possibly after `flag=`; empty for other words."""
    parts = [part for part in word.parts if part != f"{flag}="]
    names = word.names
    whole = len(parts) == 1 and isinstance(parts[0], Shell) and len(names) == 1
    return next(iter(names)) if whole and parts[0].strip("${}") in names else ""
