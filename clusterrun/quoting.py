"""Quoting for shell scripts: each value is one word, unless it is marked as shell."""

from __future__ import annotations

import shlex
import unicodedata

# Linux, execve(2): MAX_ARG_STRLEN, the longest single argument, is 32 pages.
LONGEST_ARGUMENT = 131_071


class Shell(str):
    """Text that is already shell, such as `"$SLURM_NODEID"`, and is not quoted again."""

    __slots__ = ()


def quote(value: object) -> str:
    """Return a value as one shell word; a `Shell` unchanged.

    Raises ValueError for control characters, which could end a line and start another command.
    """
    if isinstance(value, Shell):
        return value
    text = str(value)
    fault = control_character(text)
    if fault:
        raise ValueError(f"{fault} in {text[:40]!r}")
    return shlex.quote(text)


def quote_around(text: str, placeholder: str, shell: str) -> Shell:
    """Return a text as one shell word, with unquoted `shell` in place of the placeholder."""
    if placeholder not in text:
        return Shell(quote(text))
    return Shell(shell.join(quote(part) if part else "" for part in text.split(placeholder)))


def quote_for_sbatch(value: object) -> str:
    """Return a value as one word of a `#SBATCH` line.

    sbatch splits such a line much like a shell, but a backslash also escapes between single quotes
    (_get_argument in src/sbatch/opt.c). Raises ValueError for control characters.
    """
    return quote(str(value).replace("\\", "\\\\"))


def control_character(text: str) -> str:
    """Return the name of the first character that a script line must not contain; empty if none.

    These are Unicode category Cc (newline, NUL, escape ...), the line and paragraph separators,
    lone surrogates, and the bidirectional overrides, which make a line look unlike what it runs
    (CVE-2021-42574).
    """
    for character in text:
        if character in _OVERRIDES or unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"}:
            name = _NAMES.get(character) or unicodedata.name(character, "control character").lower()
            return f"{name} (U+{ord(character):04X})"
    return ""


_NAMES = {"\n": "newline", "\r": "carriage return", "\t": "tab", "\0": "NUL", "\x1b": "escape"}
_OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
